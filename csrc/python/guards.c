/* Compares the objects that a prepared call depends on, by identity. */
#include "guards.h"

#include "convert.h"

#include <stdbool.h>

/* The objects are only compared, so it does no harm if another thread has dropped one. */
static int same_items(PyObject *dict, PyObject *names, PyObject *values)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *found = PyDict_GetItemWithError(dict, PyTuple_GET_ITEM(names, i));
        PyObject *wanted = PyTuple_GET_ITEM(values, i);
        if (!found && PyErr_Occurred())
            return -1;
        if (found != (wanted == Py_Ellipsis ? NULL : wanted))
            return 0;
    }
    return 1;
}

static int same_attributes(PyObject *type, PyObject *names, PyObject *values)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *found = PyObject_GetAttr(type, PyTuple_GET_ITEM(names, i));
        if (!found && !PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();
        bool same = (found ? found : Py_Ellipsis) == PyTuple_GET_ITEM(values, i);
        Py_XDECREF(found);
        if (!same)
            return 0;
    }
    return 1;
}

static int holds(PyObject *holder, PyObject *names, PyObject *values)
{
    if (PyDict_Check(holder))
        return same_items(holder, names, values);
    if (PyType_Check(holder))
        return same_attributes(holder, names, values);
    PyObject *dict = PyObject_GenericGetDict(holder, NULL);
    if (!dict) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();
        return 0;
    }
    int same = same_items(dict, names, values);
    Py_DECREF(dict);
    return same;
}

static bool is_guard(PyObject *guard)
{
    if (!PyTuple_Check(guard) || PyTuple_GET_SIZE(guard) != 4)
        return false;
    PyObject *names = PyTuple_GET_ITEM(guard, 2), *values = PyTuple_GET_ITEM(guard, 3);
    return PyTuple_Check(names) && PyTuple_Check(values) &&
           PyTuple_GET_SIZE(names) == PyTuple_GET_SIZE(values);
}

int pqc_guards_hold(PyObject *guards, PyObject *self)
{
    bool is_tuple = PyTuple_Check(guards);
    for (Py_ssize_t i = 0; is_tuple && i < PyTuple_GET_SIZE(guards); i++) {
        PyObject *guard = PyTuple_GET_ITEM(guards, i);
        if (!is_guard(guard)) {
            is_tuple = false;
            break;
        }
        PyObject *holder = PyTuple_GET_ITEM(guard, 0);
        holder = holder == Py_None ? self : holder;
        if ((PyObject *)Py_TYPE(holder) != PyTuple_GET_ITEM(guard, 1))
            return 0;
        int same = holds(holder, PyTuple_GET_ITEM(guard, 2), PyTuple_GET_ITEM(guard, 3));
        if (same <= 0)
            return same;
    }
    if (!is_tuple)
        pqc_refuse(PyExc_TypeError, guards, "Expected a tuple of guards");
    return is_tuple ? 1 : -1;
}
