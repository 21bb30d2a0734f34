/* Checks whether anything that a prepared call depends on has changed. */
#ifndef PQC_GUARDS_H
#define PQC_GUARDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* `guards` is a tuple of (holder, class, names, values), as integer/guards.py makes it.  Returns 1 if every holder
 * (None stands for `self`) is of its class and holds, under each name, the very object in `values`: as an item if the
 * holder is a dictionary, as an attribute if it is a type, else in its __dict__.  An Ellipsis stands for a name that
 * must be absent.  0 if not; -1 with an exception, TypeError for anything but such a tuple. */
int pqc_guards_hold(PyObject *guards, PyObject *self);

#endif
