/* amax: the largest magnitude over any axes. */
#include "reduce.h"
#include "convert.h"
#include "errors.h"
#include "families.h"

/* Marks the reduced dimensions; None means all. */
static int get_axes(PyObject *axes, int ndim, bool *reduced)
{
    for (int i = 0; i < ndim; i++)
        reduced[i] = axes == Py_None;
    if (axes == Py_None)
        return 0;
    PyObject *sequence = PyIndex_Check(axes) ? PyTuple_Pack(1, axes) : PySequence_Tuple(axes);
    if (!sequence)
        return -1;
    int failed = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(sequence) && !failed; i++) {
        Py_ssize_t axis = PyNumber_AsSsize_t(PyTuple_GET_ITEM(sequence, i), NULL);
        failed = axis == -1 && PyErr_Occurred();
        if (!failed && (axis < -ndim || axis >= ndim)) {
            PyErr_Format(PyExc_IndexError, "Expected `axis` from %d to %d, got %zd", -ndim,
                         ndim - 1, axis);
            failed = 1;
        }
        if (!failed)
            reduced[axis < 0 ? axis + ndim : axis] = true;
    }
    Py_DECREF(sequence);
    return failed ? -1 : 0;
}

/* The shape of the result, and x's dimensions with neighbours of one kind taken together. */
static int plan(PyArrayObject *x, const bool *reduced, bool keepdims, npy_intp *shape,
                int *shape_ndim, pqc_dimension *dimensions)
{
    int count = 0;
    *shape_ndim = 0;
    for (int i = 0; i < PyArray_NDIM(x); i++) {
        npy_intp length = PyArray_DIM(x, i);
        if (!reduced[i] || keepdims)
            shape[(*shape_ndim)++] = reduced[i] ? 1 : length;
        if (length == 1)
            continue;
        if (count > 0 && dimensions[count - 1].kept == !reduced[i])
            dimensions[count - 1].length *= length;
        else
            dimensions[count++] = (pqc_dimension){length, !reduced[i]};
    }
    return count;
}

/* Halves have their amax in float32; it goes back to their type, exactly. */
static PyArrayObject *in_dtype_of(PyArrayObject *x, PyArrayObject *wide)
{
    PyArray_Descr *descr = PyArray_DESCR(x);
    if (descr->type_num == PyArray_TYPE(wide))
        return wide;
    Py_INCREF(descr);
    PyArrayObject *narrow = (PyArrayObject *)PyArray_CastToType(wide, descr, 0);
    Py_DECREF(wide);
    return narrow;
}

PyDoc_STRVAR(amax_doc,
             "amax(input, axes, keepdims, /)\n--\n\n"
             "max |input| over `axes` (None: all); NaN wins, an empty reduction is a ValueError.");

static PyObject *amax(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_dimension dimensions[NPY_MAXDIMS];
    bool reduced[NPY_MAXDIMS], keepdims;
    npy_intp shape[NPY_MAXDIMS];
    pqc_dtype dtype;
    int ndim = 0;
    (void)self;
    if (pqc_check_count("amax", count, 3, 3) < 0 || pqc_get_bool(args[2], &keepdims) < 0)
        return NULL;
    PyArrayObject *x = pqc_float_array(args[0], "input", &dtype), *result = NULL;
    if (!x || get_axes(args[1], PyArray_NDIM(x), reduced) < 0)
        goto done;
    int groups = plan(x, reduced, keepdims, shape, &ndim, dimensions);
    result =
        (PyArrayObject *)PyArray_SimpleNew(ndim, shape, dtype == PQC_F64 ? NPY_DOUBLE : NPY_FLOAT);
    if (!result)
        goto done;
    if (PyArray_SIZE(x) == 0 && PyArray_SIZE(result) > 0) {
        PyErr_SetString(PyExc_ValueError,
                        "Expected `input` to have elements to reduce, got an empty array");
        Py_CLEAR(result);
        goto done;
    }
    PyThreadState *state = pqc_release_gil(PyArray_SIZE(x));
    pqc_reduce_amax(PyArray_DATA(x), dtype, dimensions, groups, PyArray_DATA(result));
    pqc_acquire_gil(state);
    result = in_dtype_of(x, result);
done:
    Py_XDECREF(x);
    return (PyObject *)result;
}

PyMethodDef pqc_reduce_methods[] = {
    {"amax", (PyCFunction)(void (*)(void))amax, METH_FASTCALL, amax_doc},
    {NULL, NULL, 0, NULL},
};
