/* Broadcasts an array and its amax to what kernels take: one amax per channel, or one in all. */
#include "operands.h"

#include "convert.h"

static int refuse_shapes(PyArrayObject *x, PyArrayObject *amax, const char *x_name,
                         const char *amax_name)
{
    PyObject *x_shape = PyArray_IntTupleFromIntp(PyArray_NDIM(x), PyArray_DIMS(x));
    PyObject *amax_shape = PyArray_IntTupleFromIntp(PyArray_NDIM(amax), PyArray_DIMS(amax));
    if (x_shape && amax_shape)
        PyErr_Format(PyExc_ValueError,
                     "Expected `%s` to broadcast with `%s` of shape %R, got shape %R", amax_name,
                     x_name, x_shape, amax_shape);
    Py_XDECREF(x_shape);
    Py_XDECREF(amax_shape);
    return -1;
}

/* A view of `array` broadcast to `shape` with strides of 0; new reference. */
static PyArrayObject *stretched(PyArrayObject *array, int ndim, const npy_intp *shape)
{
    npy_intp strides[NPY_MAXDIMS];
    int missing = ndim - PyArray_NDIM(array);
    for (int i = 0; i < ndim; i++) {
        bool steps = i >= missing && PyArray_DIM(array, i - missing) != 1;
        strides[i] = steps ? PyArray_STRIDE(array, i - missing) : 0;
    }
    PyArray_Descr *descr = PyArray_DESCR(array);
    Py_INCREF(descr);
    PyArrayObject *view = (PyArrayObject *)PyArray_NewFromDescr(
        &PyArray_Type, descr, ndim, shape, strides, PyArray_DATA(array), 0, NULL);
    if (!view)
        return NULL;
    Py_INCREF(array);
    if (PyArray_SetBaseObject(view, (PyObject *)array) < 0)
        Py_CLEAR(view);
    return view;
}

/* Replaces *array by a contiguous copy broadcast to `shape`. */
static int stretch(PyArrayObject **array, int ndim, const npy_intp *shape)
{
    PyArrayObject *view = stretched(*array, ndim, shape);
    PyArrayObject *copy = view ? (PyArrayObject *)PyArray_NewCopy(view, NPY_CORDER) : NULL;
    Py_XDECREF(view);
    if (!copy)
        return -1;
    Py_SETREF(*array, copy);
    return 0;
}

/* Sets the broadcast shape; -1 if the shapes do not fit. */
static int common_shape(PyArrayObject *a, PyArrayObject *b, npy_intp *shape)
{
    int ndim = PyArray_NDIM(a) > PyArray_NDIM(b) ? PyArray_NDIM(a) : PyArray_NDIM(b);
    for (int i = 1; i <= ndim; i++) {
        npy_intp of_a = i <= PyArray_NDIM(a) ? PyArray_DIM(a, PyArray_NDIM(a) - i) : 1;
        npy_intp of_b = i <= PyArray_NDIM(b) ? PyArray_DIM(b, PyArray_NDIM(b) - i) : 1;
        if (of_a != of_b && of_a != 1 && of_b != 1)
            return -1;
        shape[ndim - i] = of_a == 1 ? of_b : of_a;
    }
    return ndim;
}

/* Finds `channels` and `inner` from the dimensions along which amax varies.  If others lie between them, amax is
 * repeated along those. */
static int find_channels(pqc_operands *o)
{
    int ndim = PyArray_NDIM(o->x), missing = ndim - PyArray_NDIM(o->values), first = ndim,
        last = -1;
    for (int i = missing; i < ndim; i++)
        if (PyArray_DIM(o->values, i - missing) != 1) {
            first = first < i ? first : i;
            last = i;
        }
    o->channels = o->inner = 1;
    if (PyArray_SIZE(o->x) == 0) { /* there is no element, so no channel */
        o->channels = 0;
        return 0;
    }
    for (int i = first; i <= last; i++)
        o->channels *= PyArray_DIM(o->x, i);
    for (int i = last + 1; last >= 0 && i < ndim; i++)
        o->inner *= PyArray_DIM(o->x, i);
    if (PyArray_SIZE(o->values) == o->channels)
        return 0;
    npy_intp shape[NPY_MAXDIMS];
    for (int i = 0; i < ndim; i++)
        shape[i] = i >= first && i <= last ? PyArray_DIM(o->x, i) : 1;
    return stretch(&o->values, ndim, shape);
}

int pqc_operands_lay_out(pqc_operands *o, PyArrayObject *values, const char *x_name,
                         const char *amax_name)
{
    npy_intp shape[NPY_MAXDIMS];
    int ndim = common_shape(o->x, values, shape);
    if (ndim < 0)
        return refuse_shapes(o->x, values, x_name, amax_name);
    bool grows = ndim != PyArray_NDIM(o->x);
    for (int i = 0; i < ndim && !grows; i++)
        grows = shape[i] != PyArray_DIM(o->x, i);
    /* given_x keeps the old one alive: dropping the last reference might run code, so not before pqc_operands_clear */
    if (grows) {
        Py_INCREF(o->x);
        o->given_x = o->x;
        if (stretch(&o->x, ndim, shape) < 0)
            return -1;
    }
    Py_INCREF(values);
    Py_XSETREF(o->values, values);
    if (find_channels(o) < 0)
        return -1;
    o->n = PyArray_SIZE(o->x);
    o->amax = PyArray_DATA(o->values);
    return 0;
}

static void use_number(pqc_operands *o, double number)
{
    if (o->is_double)
        o->number.f64 = number;
    else
        o->number.f32 = (float)number;
    o->amax = &o->number;
    o->channels = o->inner = 1;
    o->n = PyArray_SIZE(o->x);
}

static int check_sign(const pqc_operands *o, const char *amax_name)
{
    const float *f32 = o->amax;
    const double *f64 = o->amax;
    for (ptrdiff_t i = 0; o->n > 0 && i < o->channels; i++) {
        double value = o->is_double ? f64[i] : (double)f32[i];
        if (value < 0.0) {
            PyObject *given = PyFloat_FromDouble(value);
            if (given)
                PyErr_Format(PyExc_ValueError,
                             "Negative values in amax: expected `%s` >= 0, got %R", amax_name,
                             given);
            Py_XDECREF(given);
            return -1;
        }
    }
    return 0;
}

int pqc_operands_init(pqc_operands *o, PyObject *x, PyObject *amax, const char *x_name,
                      const char *amax_name)
{
    *o = (pqc_operands){0};
    o->x = pqc_float_array(x, x_name, &o->dtype);
    if (!o->x)
        return -1;
    int x_type = PyArray_TYPE(o->x);
    o->is_double = o->dtype == PQC_F64 && pqc_is_double(amax);
    if (PyFloat_CheckExact(amax)) {
        use_number(o, PyFloat_AS_DOUBLE(amax));
        return check_sign(o, amax_name);
    }
    o->given_amax = pqc_number_array(amax, amax_name, o->is_double);
    if (!o->given_amax || pqc_check_unchanged(o->x, x_name, x_type) < 0 ||
        pqc_operands_lay_out(o, o->given_amax, x_name, amax_name) < 0)
        return -1;
    return check_sign(o, amax_name);
}

void pqc_operands_clear(pqc_operands *o)
{
    Py_CLEAR(o->x);
    Py_CLEAR(o->values);
    Py_CLEAR(o->given_x);
    Py_CLEAR(o->given_amax);
}
