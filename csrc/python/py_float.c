/* What the float layers need and NumPy lacks: im2col, its adjoint, and elementary functions with the same bits
 * everywhere. */
#include "convert.h"
#include "elementwise.h"
#include "errors.h"
#include "families.h"
#include "im2col.h"

/* float32 or float64; TypeError for float16 and bfloat16, which callers widen first. */
static PyArrayObject *wide_array(PyObject *object, const char *name, int dimensions,
                                 pqc_dtype *dtype)
{
    PyArrayObject *array = pqc_float_array(object, name, dtype);
    if (!array)
        return NULL;
    if (*dtype != PQC_F32 && *dtype != PQC_F64)
        PyErr_Format(PyExc_TypeError, "Expected `%s` of float32 or float64, got a half type", name);
    else if (dimensions && PyArray_NDIM(array) != dimensions)
        PyErr_Format(PyExc_ValueError, "Expected `%s` with %d dimensions, got %d", name, dimensions,
                     PyArray_NDIM(array));
    else
        return array;
    Py_DECREF(array);
    return NULL;
}

/* One tuple of three integers in [low, 2^31 - 1] for each of `count` fields. */
static int get_triples(PyObject *const *args, const char *const *names, ptrdiff_t *const *fields,
                       const long *lows, int count)
{
    for (int i = 0; i < count; i++) {
        if (!PyTuple_Check(args[i]) || PyTuple_GET_SIZE(args[i]) != 3) {
            PyErr_Format(PyExc_TypeError, "Expected `%s` to be a tuple of 3 integers", names[i]);
            return -1;
        }
        for (int axis = 0; axis < 3; axis++) {
            long value;
            if (pqc_get_int(PyTuple_GET_ITEM(args[i], axis), names[i], lows[i], 0x7fffffff,
                            &value) < 0)
                return -1;
            fields[i][axis] = value;
        }
    }
    return 0;
}

/* The product of all numbers and the item size must be addressable.  A factor of 0 counts as 1, because the other
 * factors are still multiplied with each other. */
static int check_volume(const ptrdiff_t *a, const ptrdiff_t *b, ptrdiff_t planes)
{
    double volume = (double)(planes > 0 ? planes : 1) * 8;
    for (int axis = 0; axis < 3; axis++)
        volume *= (double)(a[axis] > 0 ? a[axis] : 1) * (b ? (double)b[axis] : 1.0);
    if (volume < 9e18)
        return 0;
    PyErr_SetString(PyExc_ValueError, "Expected sizes whose product fits into memory");
    return -1;
}

static int check_kernel(PyArrayObject *columns, const pqc_window *w)
{
    Py_ssize_t got = (Py_ssize_t)PyArray_DIM(columns, 1);
    if (check_volume(w->kernel, NULL, 1) < 0)
        return -1;
    if (got == (Py_ssize_t)pqc_product3(w->kernel))
        return 0;
    PyErr_Format(PyExc_ValueError, "Expected `columns` with %zd kernel elements, got %zd",
                 (Py_ssize_t)pqc_product3(w->kernel), got);
    return -1;
}

PyDoc_STRVAR(
    im2col_doc,
    "im2col(x, kernel, stride, padding, dilation, out, /)\n--\n\n"
    "(images, channels, D, H, W) to (channels * kernel elements, images * positions): what "
    "each element of the kernel meets at each position.\nAll others are tuples of 3 integers.");

static PyObject *im2col(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    static const char *const names[] = {"kernel", "stride", "padding", "dilation", "out"};
    static const long lows[] = {1, 1, 0, 1, 0};
    pqc_im2col_work t = {0};
    ptrdiff_t *const fields[] = {t.window.kernel, t.window.stride, t.window.padding,
                                 t.window.dilation, t.window.out};
    PyArrayObject *x = NULL, *columns = NULL;
    pqc_dtype dtype;
    (void)self;
    if (pqc_check_count("im2col", count, 6, 6) < 0 ||
        get_triples(args + 1, names, fields, lows, 5) < 0 ||
        !(x = wide_array(args[0], "x", 5, &dtype)))
        return NULL;
    memcpy(t.window.size, PyArray_DIMS(x) + 2, sizeof t.window.size);
    t.images = PyArray_DIM(x, 0);
    t.channels = PyArray_DIM(x, 1);
    ptrdiff_t images = t.images ? t.images : 1, channels = t.channels ? t.channels : 1;
    if (check_volume(t.window.out, t.window.kernel, images * channels) < 0)
        goto done;
    npy_intp shape[] = {t.channels * pqc_product3(t.window.kernel),
                        t.images * pqc_product3(t.window.out)};
    if (!(columns = (PyArrayObject *)PyArray_SimpleNew(2, shape, PyArray_TYPE(x))))
        goto done;
    t.from = PyArray_DATA(x);
    t.to = PyArray_DATA(columns);
    t.item = (size_t)pqc_dtype_size(dtype);
    PyThreadState *state = pqc_release_gil(shape[0] * shape[1]);
    pqc_im2col(&t);
    pqc_acquire_gil(state);
done:
    Py_XDECREF(x);
    return (PyObject *)columns;
}

PyDoc_STRVAR(col2im_doc,
             "col2im(columns, size, kernel, stride, padding, dilation, /)\n--\n\n"
             "The adjoint of im2col: (planes, kernel elements, D, H, W) to (planes, *size), each "
             "element added where im2col reads it.");

static PyObject *col2im(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    static const char *const names[] = {"size", "kernel", "stride", "padding", "dilation"};
    static const long lows[] = {0, 1, 1, 0, 1};
    pqc_im2col_work t = {0};
    ptrdiff_t *const fields[] = {t.window.size, t.window.kernel, t.window.stride, t.window.padding,
                                 t.window.dilation};
    PyArrayObject *columns = NULL, *y = NULL;
    pqc_dtype dtype;
    (void)self;
    if (pqc_check_count("col2im", count, 6, 6) < 0 ||
        get_triples(args + 1, names, fields, lows, 5) < 0 ||
        !(columns = wide_array(args[0], "columns", 5, &dtype)))
        return NULL;
    memcpy(t.window.out, PyArray_DIMS(columns) + 2, sizeof t.window.out);
    npy_intp shape[] = {PyArray_DIM(columns, 0), t.window.size[0], t.window.size[1],
                        t.window.size[2]};
    if (check_kernel(columns, &t.window) < 0 || check_volume(shape + 1, NULL, shape[0]) < 0 ||
        !(y = (PyArrayObject *)PyArray_SimpleNew(4, shape, PyArray_TYPE(columns))))
        goto done;
    t.from = PyArray_DATA(columns);
    t.to = PyArray_DATA(y);
    t.item = (size_t)pqc_dtype_size(dtype);
    t.images = 1;
    t.channels = shape[0];
    PyThreadState *state = pqc_release_gil(PyArray_SIZE(columns));
    pqc_col2im(&t);
    pqc_acquire_gil(state);
done:
    Py_XDECREF(columns);
    return (PyObject *)y;
}

static PyObject *function_of(PyObject *object, pqc_chain_kind function)
{
    pqc_dtype dtype;
    PyArrayObject *x = wide_array(object, "x", 0, &dtype);
    PyArrayObject *y = x ? pqc_new_like(x) : NULL;
    if (y) {
        npy_intp size = PyArray_SIZE(x); /* another thread may change the array */
        const void *from = PyArray_DATA(x);
        void *to = PyArray_DATA(y);
        PyThreadState *state = pqc_release_gil(size);
        pqc_apply_function(function, from, to, size, dtype == PQC_F64);
        pqc_acquire_gil(state);
    }
    Py_XDECREF(x);
    return (PyObject *)y;
}

PyDoc_STRVAR(erf_doc, "erf(x, /)\n--\n\nThe error function of float32 or float64 elements.");

static PyObject *erf_of(PyObject *self, PyObject *object)
{
    (void)self;
    return function_of(object, PQC_CHAIN_ERF);
}

PyDoc_STRVAR(sigmoid_doc, "sigmoid(x, /)\n--\n\n1 / (1 + exp(-x)) of float32 or float64 elements.");

static PyObject *sigmoid_of(PyObject *self, PyObject *object)
{
    (void)self;
    return function_of(object, PQC_CHAIN_SIGMOID);
}

PyDoc_STRVAR(tanh_doc, "tanh(x, /)\n--\n\nThe hyperbolic tangent of float32 or float64 elements.");

static PyObject *tanh_of(PyObject *self, PyObject *object)
{
    (void)self;
    return function_of(object, PQC_CHAIN_TANH);
}

PyMethodDef pqc_float_methods[] = {
    {"im2col", (PyCFunction)(void (*)(void))im2col, METH_FASTCALL, im2col_doc},
    {"col2im", (PyCFunction)(void (*)(void))col2im, METH_FASTCALL, col2im_doc},
    {"erf", erf_of, METH_O, erf_doc},
    {"sigmoid", sigmoid_of, METH_O, sigmoid_doc},
    {"tanh", tanh_of, METH_O, tanh_doc},
    {NULL, NULL, 0, NULL},
};
