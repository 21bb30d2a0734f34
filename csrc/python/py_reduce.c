/* amax and fingerprint: the largest magnitude over any axes, and a mark of the contents. */
#include "reduce.h"
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "fingerprint.h"

/* A new reference to None or to a tuple of exact Python integers. */
static PyObject *get_axes(PyObject *axes)
{
    if (axes == Py_None)
        return Py_NewRef(axes);
    PyObject *given = PyIndex_Check(axes) ? PyTuple_Pack(1, axes) : PySequence_Tuple(axes);
    PyObject *numbers = given ? PyTuple_New(PyTuple_GET_SIZE(given)) : NULL;
    for (Py_ssize_t i = 0; numbers && i < PyTuple_GET_SIZE(given); i++) {
        PyObject *number = PyNumber_Index(PyTuple_GET_ITEM(given, i));
        if (number)
            PyTuple_SET_ITEM(numbers, i, number);
        else
            Py_CLEAR(numbers);
    }
    Py_XDECREF(given);
    return numbers;
}

/* Marks the reduced dimensions, given what get_axes returned; runs no code of the caller's. */
static int mark_reduced(PyObject *axes, int ndim, bool *reduced)
{
    for (int i = 0; i < ndim; i++)
        reduced[i] = axes == Py_None;
    for (Py_ssize_t i = 0; axes != Py_None && i < PyTuple_GET_SIZE(axes); i++) {
        Py_ssize_t axis = PyNumber_AsSsize_t(PyTuple_GET_ITEM(axes, i), NULL);
        if (axis < -ndim || axis >= ndim) {
            PyErr_Format(PyExc_IndexError, "Expected `axis` from %d to %d, got %zd", -ndim,
                         ndim - 1, axis);
            return -1;
        }
        reduced[axis < 0 ? axis + ndim : axis] = true;
    }
    return 0;
}

/* Sets the shape of the result, and x's dimensions with neighbours of the same kind merged. */
static int dimensions_of(PyArrayObject *x, const bool *reduced, bool keepdims, npy_intp *shape,
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

/* float16 and bfloat16 have their amax in float32; it converts back exactly. */
static PyArrayObject *in_dtype(PyArray_Descr *descr, PyArrayObject *wide)
{
    if (descr->type_num == PyArray_TYPE(wide))
        return wide;
    Py_INCREF(descr);
    PyArrayObject *narrow = (PyArrayObject *)PyArray_CastToType(wide, descr, 0);
    Py_DECREF(wide);
    return narrow;
}

/* A new array of the largest magnitudes. */
static PyArrayObject *reduce(PyArrayObject *x, pqc_dtype dtype, const bool *reduced, bool keepdims)
{
    pqc_dimension dimensions[NPY_MAXDIMS];
    npy_intp shape[NPY_MAXDIMS], size = PyArray_SIZE(x);
    int ndim = 0, groups = dimensions_of(x, reduced, keepdims, shape, &ndim, dimensions);
    PyArrayObject *result =
        (PyArrayObject *)PyArray_SimpleNew(ndim, shape, dtype == PQC_F64 ? NPY_DOUBLE : NPY_FLOAT);
    if (!result)
        return NULL;
    if (size == 0 && PyArray_SIZE(result) > 0) {
        PyErr_SetString(PyExc_ValueError,
                        "Expected `input` to have elements to reduce, got an empty array");
        Py_DECREF(result);
        return NULL;
    }
    PyArray_Descr *descr = PyArray_DESCR(x); /* read now: another thread may change it */
    Py_INCREF(descr);
    PyThreadState *state = pqc_release_gil(size);
    pqc_reduce_amax(PyArray_DATA(x), dtype, dimensions, groups, PyArray_DATA(result));
    pqc_acquire_gil(state);
    result = in_dtype(descr, result);
    Py_DECREF(descr);
    return result;
}

PyDoc_STRVAR(amax_doc,
             "amax(input, axes, keepdims, /)\n--\n\n"
             "max |input| over `axes` (None: all); NaN wins, an empty reduction is a ValueError.");

static PyObject *amax(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    bool reduced[NPY_MAXDIMS], keepdims;
    pqc_dtype dtype;
    PyObject *axes = NULL;
    PyArrayObject *x = NULL, *result = NULL;
    (void)self;
    if (pqc_check_count("amax", count, 3, 3) < 0 || pqc_get_bool(args[2], &keepdims) < 0 ||
        !(axes = get_axes(args[1])))
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    x = pqc_float_array(args[0], "input", &dtype);
    if (x && mark_reduced(axes, PyArray_NDIM(x), reduced) == 0)
        result = reduce(x, dtype, reduced, keepdims);
    pqc_restore_float_mode(mode);
    Py_XDECREF(x);
    Py_DECREF(axes);
    return (PyObject *)result;
}

PyDoc_STRVAR(fingerprint_doc, "fingerprint(array, /)\n--\n\n"
                              "A number that tells the contents of an array from other contents.");

static PyObject *fingerprint(PyObject *self, PyObject *array)
{
    (void)self;
    if (!PyArray_Check(array)) {
        pqc_refuse(PyExc_TypeError, array, "Expected `array` to be an array");
        return NULL;
    }
    PyArrayObject *x =
        (PyArrayObject *)PyArray_FROM_OF(array, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_ENSUREARRAY);
    if (!x)
        return NULL;
    npy_intp bytes = PyArray_NBYTES(x);
    PyThreadState *state = pqc_release_gil(bytes / 16);
    pqc_mark mark = pqc_fingerprint_of(PyArray_DATA(x), bytes);
    pqc_acquire_gil(state);
    Py_DECREF(x);
    return PyBytes_FromStringAndSize((const char *)&mark, sizeof mark);
}

PyMethodDef pqc_reduce_methods[] = {
    {"amax", (PyCFunction)(void (*)(void))amax, METH_FASTCALL, amax_doc},
    {"fingerprint", fingerprint, METH_O, fingerprint_doc},
    {NULL, NULL, 0, NULL},
};
