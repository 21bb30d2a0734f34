/* Whether anything that a prepared call depends on has changed. */
#ifndef PQC_GUARDS_H
#define PQC_GUARDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* `guards`: a tuple of (holder, class, names, values), of integer/guards.py.  1 if every holder, `self` where it is None,
 * is of its class and has the very objects `values` under `names`, in itself if it is a dictionary, as attributes if it
 * is a type, else in its own dictionary; an Ellipsis stands for a name that is not there.  0 if not; -1 with an
 * exception, TypeError for anything else than such a tuple. */
int pqc_guards_hold(PyObject *guards, PyObject *self);

#endif
