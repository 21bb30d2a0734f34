/* Compares the contents of arrays with a fingerprint or a copy. */
#include "unchanged.h"

#include <string.h>

#include "convert.h"
#include "fingerprint.h"

static bool is_dense_float(PyArrayObject *x)
{
    return PyArray_TYPE(x) == NPY_FLOAT && PyArray_ISCARRAY_RO(x);
}

static bool has_mark(PyArrayObject *x, PyObject *mark)
{
    npy_intp bytes = PyArray_NBYTES(x);
    PyThreadState *state = pqc_release_gil(bytes / 16);
    pqc_mark found = pqc_fingerprint_of(PyArray_DATA(x), bytes);
    pqc_acquire_gil(state);
    return PyBytes_GET_SIZE(mark) == (Py_ssize_t)sizeof found &&
           memcmp(PyBytes_AS_STRING(mark), &found, sizeof found) == 0;
}

static bool is_proof_of_array(PyObject *proof)
{
    if (!PyTuple_Check(proof) || PyTuple_GET_SIZE(proof) != 3)
        return false;
    PyObject *like = PyTuple_GET_ITEM(proof, 1), *mark = PyTuple_GET_ITEM(proof, 2);
    return PyArray_Check(PyTuple_GET_ITEM(proof, 0)) && PyArray_Check(like) &&
           (PyBytes_Check(mark) || (mark == Py_None && is_dense_float((PyArrayObject *)like)));
}

static bool array_is_unchanged(PyObject *proof)
{
    PyArrayObject *x = (PyArrayObject *)PyTuple_GET_ITEM(proof, 0);
    PyArrayObject *like = (PyArrayObject *)PyTuple_GET_ITEM(proof, 1);
    PyObject *mark = PyTuple_GET_ITEM(proof, 2);
    if (!is_dense_float(x) || !PyArray_SAMESHAPE(x, like))
        return false;
    if (mark != Py_None)
        return has_mark(x, mark);
    return memcmp(PyArray_DATA(x), PyArray_DATA(like), (size_t)PyArray_NBYTES(x)) == 0;
}

/* 1 if unchanged, 0 if changed, -1 with an exception if it is no proof. */
static int one_is_unchanged(PyObject *proof)
{
    if (proof == Py_None)
        return 1;
    if (PyArray_Check(proof))
        return !PyArray_ISWRITEABLE((PyArrayObject *)proof);
    return is_proof_of_array(proof) ? array_is_unchanged(proof) : -1;
}

int pqc_is_unchanged(PyObject *proof)
{
    bool several = PyTuple_Check(proof);
    int unchanged = several ? 1 : one_is_unchanged(proof);
    for (Py_ssize_t i = 0; several && unchanged > 0 && i < PyTuple_GET_SIZE(proof); i++)
        unchanged = one_is_unchanged(PyTuple_GET_ITEM(proof, i));
    if (unchanged < 0)
        pqc_refuse(PyExc_TypeError, proof, "Expected what proves a weight");
    return unchanged;
}
