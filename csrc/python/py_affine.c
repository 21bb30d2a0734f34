/* fake_affine: a range instead of an amax. */
#include "affine.h"
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "operands.h"

/* Both ends of the range side by side, in one array whose last dimension is 2. */
static PyArrayObject *pair_up(PyObject *min_range, PyObject *max_range, bool as_double)
{
    PyArrayObject *low = pqc_number_array(min_range, "min_range", as_double), *high = NULL,
                  *pairs = NULL;
    PyArrayMultiIterObject *both = NULL;
    if (!low || !(high = pqc_number_array(max_range, "max_range", as_double)) ||
        pqc_check_unchanged(low, "min_range", as_double ? NPY_DOUBLE : NPY_FLOAT) < 0)
        goto done;
    both = (PyArrayMultiIterObject *)PyArray_MultiIterNew(2, low, high);
    if (!both && (PyErr_ExceptionMatches(PyExc_ValueError) ||
                  PyErr_ExceptionMatches(PyExc_RuntimeError))) /* more axes than it takes */
        PyErr_SetString(PyExc_ValueError,
                        "Expected `min_range` and `max_range` to broadcast together");
    if (!both)
        goto done;
    npy_intp shape[NPY_MAXDIMS + 1];
    for (int i = 0; i < both->nd; i++)
        shape[i] = both->dimensions[i];
    shape[both->nd] = 2;
    pairs =
        (PyArrayObject *)PyArray_SimpleNew(both->nd + 1, shape, as_double ? NPY_DOUBLE : NPY_FLOAT);
    size_t size = as_double ? sizeof(double) : sizeof(float);
    for (char *to = pairs ? PyArray_BYTES(pairs) : NULL; to && PyArray_MultiIter_NOTDONE(both);
         to += 2 * size) {
        memcpy(to, PyArray_MultiIter_DATA(both, 0), size);
        memcpy(to + size, PyArray_MultiIter_DATA(both, 1), size);
        PyArray_MultiIter_NEXT(both);
    }
done:
    Py_XDECREF(low);
    Py_XDECREF(high);
    Py_XDECREF(both);
    return pairs;
}

/* The index of each pair, in the shape of the ranges: laid out over x, it says which pair an
 * element uses. */
static PyArrayObject *count_up(PyArrayObject *pairs)
{
    PyArrayObject *numbers = (PyArrayObject *)PyArray_SimpleNew(PyArray_NDIM(pairs) - 1,
                                                                PyArray_DIMS(pairs), NPY_DOUBLE);
    for (npy_intp i = 0; numbers && i < PyArray_SIZE(numbers); i++)
        ((double *)PyArray_DATA(numbers))[i] = (double)i;
    return numbers;
}

/* Halves go through a float32 copy and are rounded once. */
static PyArrayObject *cast(PyArrayObject *array, PyArray_Descr *descr)
{
    Py_INCREF(descr);
    return (PyArrayObject *)PyArray_CastToType(array, descr, 0);
}

static pqc_affine_work work_of(const pqc_operands *o, PyArrayObject *pairs, PyArrayObject *y,
                               long num_bits)
{
    return (pqc_affine_work){.x = PyArray_DATA(o->x),
                             .y = PyArray_DATA(y),
                             .n = o->n,
                             .channels = o->channels,
                             .inner = o->inner,
                             .ranges = PyArray_DATA(pairs),
                             .range_of = o->amax,
                             .num_bits = (int)num_bits,
                             .is_double = o->dtype == PQC_F64};
}

PyDoc_STRVAR(fake_affine_doc, "fake_affine(inputs, min_range, max_range, num_bits, /)\n--\n\n"
                              "(clamp(rint(inputs / step) - zero) + zero) * step with step = (max "
                              "- min) / (2^num_bits - 1).");

static PyObject *fake_affine(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_operands o = {0};
    PyArrayObject *original = NULL, *pairs = NULL, *which = NULL, *y = NULL;
    PyArray_Descr *descr = NULL;
    long num_bits;
    (void)self;
    if (pqc_check_count("fake_affine", count, 4, 4) < 0 ||
        pqc_get_int(args[3], "num_bits", 1, 32, &num_bits) < 0 ||
        !(original = pqc_float_array(args[0], "inputs", &o.dtype)))
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    descr = PyArray_DESCR(original);
    Py_INCREF(descr);
    bool is_double = o.dtype == PQC_F64;
    PyArray_Descr *wide = PyArray_DescrFromType(is_double ? NPY_DOUBLE : NPY_FLOAT);
    o.x = cast(original, wide);
    Py_DECREF(wide);
    if (!o.x || !(pairs = pair_up(args[1], args[2], is_double)) || !(which = count_up(pairs)) ||
        pqc_operands_lay_out(&o, which, "inputs", "min_range") < 0 || !(y = pqc_new_like(o.x)))
        goto done;
    pqc_affine_work work = work_of(&o, pairs, y, num_bits);
    PyThreadState *state = pqc_release_gil(o.n);
    pqc_fake_affine(&work);
    pqc_acquire_gil(state);
    if (o.dtype == PQC_F16 || o.dtype == PQC_BF16)
        Py_SETREF(y, cast(y, descr));
done:
    pqc_restore_float_mode(mode);
    Py_DECREF(descr);
    Py_XDECREF(original);
    Py_XDECREF(pairs);
    Py_XDECREF(which);
    pqc_operands_clear(&o);
    return (PyObject *)y;
}

PyMethodDef pqc_affine_methods[] = {
    {"fake_affine", (PyCFunction)(void (*)(void))fake_affine, METH_FASTCALL, fake_affine_doc},
    {NULL, NULL, 0, NULL},
};
