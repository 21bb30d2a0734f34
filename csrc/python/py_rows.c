/* softmax, layer_norm, matmul and transposed, for float32. */
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "matmul.h"
#include "output_memory.h"
#include "rows.h"

/* A float32 array with at least one axis. */
static PyArrayObject *rows_of(PyObject *object)
{
    pqc_dtype dtype;
    PyArrayObject *x = pqc_float_array(object, "x", &dtype);
    if (x && dtype == PQC_F32 && PyArray_NDIM(x) >= 1)
        return x;
    if (x)
        pqc_refuse(PyExc_TypeError, (PyObject *)x,
                   "Expected `x` of float32 with at least one axis");
    Py_XDECREF(x);
    return NULL;
}

PyDoc_STRVAR(softmax_doc,
             "softmax(x, /)\n--\n\nexp(x) divided by its sum along the last axis, of float32.");

static PyObject *of_rows(PyObject *object,
                         void (*function)(const float *, float *, ptrdiff_t, ptrdiff_t))
{
    PyArrayObject *x = rows_of(object), *y = x ? pqc_new_like(x) : NULL;
    if (y) {
        npy_intp size = PyArray_SIZE(x), n = PyArray_DIM(x, PyArray_NDIM(x) - 1);
        const float *from = PyArray_DATA(x);
        float *to = PyArray_DATA(y);
        PyThreadState *state = pqc_release_gil(size);
        function(from, to, n ? size / n : 0, n);
        pqc_acquire_gil(state);
    }
    Py_XDECREF(x);
    return (PyObject *)y;
}

static PyObject *softmax(PyObject *self, PyObject *object)
{
    (void)self;
    return of_rows(object, pqc_softmax_rows);
}

PyDoc_STRVAR(log_softmax_doc, "log_softmax(x, /)\n--\n\nThe logarithm of `softmax`, of float32.");

static PyObject *log_softmax(PyObject *self, PyObject *object)
{
    (void)self;
    return of_rows(object, pqc_log_softmax_rows);
}

/* NULL for None, else n float32 numbers. */
static int get_vector(PyObject *object, const char *name, PyArrayObject **vector)
{
    pqc_dtype dtype = PQC_F32;
    *vector = NULL;
    if (object == Py_None)
        return 0;
    *vector = pqc_float_array(object, name, &dtype);
    return *vector ? 0 : -1;
}

/* Run after every argument has been converted, since conversion may run the caller's code. */
static int check_length(PyArrayObject *x, PyArrayObject *vector, const char *name)
{
    if (PyArray_NDIM(x) < 1) {
        PyErr_SetString(PyExc_ValueError, "Expected `x` of one dimension or more");
        return -1;
    }
    npy_intp n = PyArray_DIM(x, PyArray_NDIM(x) - 1);
    if (!vector || (PyArray_TYPE(vector) == NPY_FLOAT && PyArray_ISCARRAY_RO(vector) &&
                    PyArray_SIZE(vector) == n))
        return 0;
    pqc_refuse(PyExc_ValueError, (PyObject *)vector, "Expected `%s` of %zd float32 elements", name,
               n);
    return -1;
}

PyDoc_STRVAR(
    layer_norm_doc,
    "layer_norm(x, weight, bias, epsilon, /)\n--\n\nEach row along the last axis, of "
    "float32, with mean 0 and variance 1, then times `weight` plus `bias`, which may be None.");

static PyObject *layer_norm(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyArrayObject *x = NULL, *weight = NULL, *bias = NULL, *y = NULL;
    (void)self;
    if (pqc_check_count("layer_norm", count, 4, 4) < 0)
        return NULL;
    double epsilon = PyFloat_AsDouble(args[3]);
    if ((epsilon == -1.0 && PyErr_Occurred()) || !(x = rows_of(args[0])))
        return NULL;
    if (get_vector(args[1], "weight", &weight) == 0 && get_vector(args[2], "bias", &bias) == 0 &&
        pqc_check_unchanged(x, "x", NPY_FLOAT) == 0 && check_length(x, weight, "weight") == 0 &&
        check_length(x, bias, "bias") == 0 && (y = pqc_new_like(x))) {
        npy_intp size = PyArray_SIZE(x), n = PyArray_DIM(x, PyArray_NDIM(x) - 1);
        pqc_layer_norm p = {weight ? PyArray_DATA(weight) : NULL, bias ? PyArray_DATA(bias) : NULL,
                            epsilon};
        const float *from = PyArray_DATA(x);
        float *to = PyArray_DATA(y);
        PyThreadState *state = pqc_release_gil(size);
        pqc_layer_norm_rows(from, to, n ? size / n : 0, n, &p);
        pqc_acquire_gil(state);
    }
    Py_XDECREF(x);
    Py_XDECREF(weight);
    Py_XDECREF(bias);
    return (PyObject *)y;
}

/* Checks that a and b can be multiplied: as many matrices as `b` has, with `a` repeated; `start` has one number per
 * row of `a`. */
static int check_product(PyArrayObject *a, PyArrayObject *b, PyArrayObject *start, npy_intp taps)
{
    npy_intp groups = PyArray_DIM(a, 0), m = PyArray_DIM(a, 1), k = PyArray_DIM(a, 2);
    if (PyArray_DIM(b, 1) != k || (groups ? PyArray_DIM(b, 0) % groups : PyArray_DIM(b, 0))) {
        pqc_refuse(PyExc_ValueError, (PyObject *)b,
                   "Expected `b` of shape (%zd or a multiple of it, %zd, n)", groups, k);
        return -1;
    }
    if (start && (PyArray_TYPE(start) != NPY_FLOAT || !PyArray_ISCARRAY_RO(start) ||
                  PyArray_SIZE(start) != groups * m)) {
        pqc_refuse(PyExc_ValueError, (PyObject *)start, "Expected `start` of %zd float32 elements",
                   groups * m);
        return -1;
    }
    if (taps < 1 || k % taps) {
        PyErr_Format(PyExc_ValueError, "Expected `taps` to divide %zd, got %zd", k, taps);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(
    matmul_doc,
    "matmul(a, b, start=None, taps=1, /)\n--\n\nProducts of pairs of matrices of float32, (groups, "
    "m, k) and (batch * groups, k, n); each sum begins at 0, or at its row's number in `start`, "
    "and goes on by fused multiply-adds. Row l of `b` is the one that im2col has for channel l % "
    "(k / taps) and tap l / (k / taps).");

static PyObject *matmul(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyArrayObject *a = NULL, *b = NULL, *start = NULL, *y = NULL;
    (void)self;
    if (pqc_check_count("matmul", count, 2, 4) < 0)
        return NULL;
    npy_intp taps = count > 3 ? PyLong_AsSsize_t(args[3]) : 1;
    if ((taps == -1 && PyErr_Occurred()) ||
        get_vector(count > 2 ? args[2] : Py_None, "start", &start) < 0 ||
        !(a = pqc_plain_array(args[0], "a", NPY_FLOAT, 3)) ||
        !(b = pqc_plain_array(args[1], "b", NPY_FLOAT, 3)) || check_product(a, b, start, taps) < 0)
        goto done;
    npy_intp groups = PyArray_DIM(a, 0), m = PyArray_DIM(a, 1), k = PyArray_DIM(a, 2);
    npy_intp n = PyArray_DIM(b, 2), pairs = PyArray_DIM(b, 0), dims[] = {pairs, m, n};
    y = (PyArrayObject *)PyArray_SimpleNew(3, dims, NPY_FLOAT);
    if (y && PyArray_SIZE(y)) {
        pqc_matmul p = {.batch = {pairs / groups, groups},
                        .m = m,
                        .n = n,
                        .k = k,
                        .a = {{0, m * k}, k, 1},
                        .b = {{groups * k * n, k * n}, n, 1},
                        .y = {{groups * m * n, m * n}, n, 1},
                        .start = start ? PyArray_DATA(start) : NULL,
                        .taps = taps};
        PyThreadState *state = pqc_release_gil(PyArray_SIZE(a) + PyArray_SIZE(b));
        pqc_matmul_f32(&p, PyArray_DATA(a), PyArray_DATA(b), PyArray_DATA(y));
        pqc_acquire_gil(state);
    }
done:
    Py_XDECREF(a);
    Py_XDECREF(b);
    Py_XDECREF(start);
    return (PyObject *)y;
}

PyDoc_STRVAR(transposed_doc, "transposed(x, /)\n--\n\nA new array with the last two axes of a "
                             "float32 array exchanged.");

static PyObject *transposed(PyObject *self, PyObject *object)
{
    PyArrayObject *x = rows_of(object), *y = NULL;
    npy_intp shape[NPY_MAXDIMS];
    (void)self;
    if (!x)
        return NULL;
    int ndim = PyArray_NDIM(x);
    if (ndim < 2) {
        pqc_refuse(PyExc_ValueError, (PyObject *)x, "Expected `x` of two dimensions or more");
    } else {
        memcpy(shape, PyArray_DIMS(x), (size_t)ndim * sizeof *shape);
        npy_intp rows = shape[ndim - 2], columns = shape[ndim - 1], size = PyArray_SIZE(x);
        shape[ndim - 2] = columns;
        shape[ndim - 1] = rows;
        y = pqc_new_floats(ndim, shape);
        if (y && size) {
            PyThreadState *state = pqc_release_gil(size);
            pqc_transpose_rows(PyArray_DATA(x), PyArray_DATA(y), size / rows / columns, rows,
                               columns);
            pqc_acquire_gil(state);
        }
    }
    Py_DECREF(x);
    return (PyObject *)y;
}

PyMethodDef pqc_rows_methods[] = {
    {"layer_norm", (PyCFunction)(void (*)(void))layer_norm, METH_FASTCALL, layer_norm_doc},
    {"log_softmax", log_softmax, METH_O, log_softmax_doc},
    {"matmul", (PyCFunction)(void (*)(void))matmul, METH_FASTCALL, matmul_doc},
    {"softmax", softmax, METH_O, softmax_doc},
    {"transposed", transposed, METH_O, transposed_doc},
    {NULL, NULL, 0, NULL},
};
