/* fake_affine and shifted_quant: quantisation with a range, or a scale and a zero point, instead of an amax. */
#include "affine.h"
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "operands.h"

/* Both ends of the range side by side, in one array whose last dimension is 2. */
static PyArrayObject *pair_up(PyObject *const *pair, const char *const *names, bool as_double)
{
    PyArrayObject *low = pqc_number_array(pair[0], names[0], as_double), *high = NULL,
                  *pairs = NULL;
    PyArrayMultiIterObject *both = NULL;
    if (!low || !(high = pqc_number_array(pair[1], names[1], as_double)) ||
        pqc_check_unchanged(low, names[0], as_double ? NPY_DOUBLE : NPY_FLOAT) < 0)
        goto done;
    both = (PyArrayMultiIterObject *)PyArray_MultiIterNew(2, low, high);
    if (!both && (PyErr_ExceptionMatches(PyExc_ValueError) ||
                  PyErr_ExceptionMatches(PyExc_RuntimeError))) /* more axes than it takes */
        PyErr_Format(PyExc_ValueError, "Expected `%s` and `%s` to broadcast together", names[0],
                     names[1]);
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

/* The index of each pair, in the shape of the ranges.  Broadcast against x, it tells which pair an element uses. */
static PyArrayObject *count_up(PyArrayObject *pairs)
{
    PyArrayObject *numbers = (PyArrayObject *)PyArray_SimpleNew(PyArray_NDIM(pairs) - 1,
                                                                PyArray_DIMS(pairs), NPY_DOUBLE);
    for (npy_intp i = 0; numbers && i < PyArray_SIZE(numbers); i++)
        ((double *)PyArray_DATA(numbers))[i] = (double)i;
    return numbers;
}

/* float16 and bfloat16 go through a float32 copy and are rounded once. */
static PyArrayObject *cast(PyArrayObject *array, PyArray_Descr *descr)
{
    Py_INCREF(descr);
    return (PyArrayObject *)PyArray_CastToType(array, descr, 0);
}

static void lay_out(const pqc_operands *o, PyArrayObject *pairs, PyArrayObject *y,
                    pqc_affine_work *work)
{
    work->x = PyArray_DATA(o->x);
    work->y = PyArray_DATA(y);
    work->n = o->n;
    work->channels = o->channels;
    work->inner = o->inner;
    work->ranges = PyArray_DATA(pairs);
    work->range_of = o->amax;
    work->is_double = o->dtype == PQC_F64;
}

/* Applies `run` to the inputs, args[0], with each element's pair of numbers from args[1] and args[2]. */
static PyObject *by_pairs(PyObject *const *args, const char *const *names,
                          void (*run)(const pqc_affine_work *), pqc_affine_work *work)
{
    pqc_operands o = {0};
    PyArrayObject *original = pqc_float_array(args[0], "inputs", &o.dtype), *pairs = NULL,
                  *which = NULL, *y = NULL;
    if (!original)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    PyArray_Descr *descr = PyArray_DESCR(original);
    Py_INCREF(descr);
    bool is_double = o.dtype == PQC_F64;
    PyArray_Descr *wide = PyArray_DescrFromType(is_double ? NPY_DOUBLE : NPY_FLOAT);
    o.x = cast(original, wide);
    Py_DECREF(wide);
    if (!o.x || !(pairs = pair_up(args + 1, names, is_double)) || !(which = count_up(pairs)) ||
        pqc_operands_lay_out(&o, which, "inputs", names[0]) < 0 || !(y = pqc_new_like(o.x)))
        goto done;
    lay_out(&o, pairs, y, work);
    PyThreadState *state = pqc_release_gil(o.n);
    run(work);
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

PyDoc_STRVAR(fake_affine_doc, "fake_affine(inputs, min_range, max_range, num_bits, /)\n--\n\n"
                              "(clamp(rint(inputs / step) - zero) + zero) * step with step = (max "
                              "- min) / (2^num_bits - 1).");

static PyObject *fake_affine(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    static const char *const names[] = {"min_range", "max_range"};
    pqc_affine_work work = {0};
    long num_bits;
    (void)self;
    if (pqc_check_count("fake_affine", count, 4, 4) < 0 ||
        pqc_get_int(args[3], "num_bits", 1, 32, &num_bits) < 0)
        return NULL;
    work.num_bits = (int)num_bits;
    return by_pairs(args, names, pqc_fake_affine, &work);
}

PyDoc_STRVAR(
    shifted_quant_doc,
    "shifted_quant(inputs, scale, zero, levels, fake, /)\n--\n\n"
    "clamp(rint(inputs * scale), -zero, levels - zero), over scale if `fake`; a scale of 0 "
    "gives zeros.");

static PyObject *shifted_quant(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    static const char *const names[] = {"scale", "zero"};
    pqc_affine_work work = {0};
    long levels;
    (void)self;
    if (pqc_check_count("shifted_quant", count, 5, 5) < 0 ||
        pqc_get_int(args[3], "levels", 1, 0x7fffffff, &levels) < 0 ||
        pqc_get_bool(args[4], &work.fake) < 0)
        return NULL;
    work.levels = (float)levels;
    return by_pairs(args, names, pqc_shifted_quant, &work);
}

PyMethodDef pqc_affine_methods[] = {
    {"fake_affine", (PyCFunction)(void (*)(void))fake_affine, METH_FASTCALL, fake_affine_doc},
    {"shifted_quant", (PyCFunction)(void (*)(void))shifted_quant, METH_FASTCALL, shifted_quant_doc},
    {NULL, NULL, 0, NULL},
};
