/* block_quant, encode and decode: elements of a few bits, and the scales that blocks of them share. */
#include "blocks.h"
#include "convert.h"
#include "errors.h"
#include "families.h"

#include <math.h>

/* Arguments exponent, mantissa, lo, hi: a float format, or integers from lo to hi if exponent is 0.  Sets *unit to
 * the value of the integer 1: 2^(2 - bits), so that the integers span -2 to 2. */
static int get_elements(PyObject *const *args, pqc_float_format *format, float *unit)
{
    long exponent, bits, lo, hi;
    if (pqc_get_int(args[0], "exponent", 0, 9, &exponent) < 0)
        return -1;
    *unit = 1.0f;
    if (exponent != 0)
        return pqc_get_float_format(args, format);
    if (pqc_get_int(args[1], "num_bits", 2, 8, &bits) < 0 ||
        pqc_get_int(args[2], "lo", -128, 0, &lo) < 0 || pqc_get_int(args[3], "hi", 0, 255, &hi) < 0)
        return -1;
    *format = pqc_int_elements((float)lo, (float)hi);
    *unit = ldexpf(1.0f, 2 - (int)bits);
    return 0;
}

/* Checks that x is float32 or float64, and divides it into rows. */
static int get_rows(PyArrayObject *x, pqc_dtype dtype, long block, pqc_blocks *job)
{
    int ndim = PyArray_NDIM(x);
    if (dtype != PQC_F32 && dtype != PQC_F64) {
        PyErr_SetString(PyExc_TypeError,
                        "Expected `inputs` of float32 or float64, got a half type");
        return -1;
    }
    if (ndim == 0) {
        PyErr_SetString(PyExc_ValueError, "Expected `inputs` with at least one axis, got none");
        return -1;
    }
    job->length = PyArray_DIM(x, ndim - 1);
    job->rows = job->length ? PyArray_SIZE(x) / job->length : 0;
    job->q.block = block;
    job->is_double = dtype == PQC_F64;
    job->x = PyArray_DATA(x);
    return 0;
}

/* float32 scales, one per block: the shape of x except for its last axis. */
static PyArrayObject *new_scales(PyArrayObject *x, ptrdiff_t length, ptrdiff_t block)
{
    npy_intp shape[NPY_MAXDIMS];
    int ndim = PyArray_NDIM(x);
    memcpy(shape, PyArray_DIMS(x), (size_t)ndim * sizeof *shape);
    shape[ndim - 1] = pqc_div_round_up(length, block);
    return (PyArrayObject *)PyArray_SimpleNew(ndim, shape, NPY_FLOAT);
}

/* Reads either the amax of the whole array, from which `global` follows, or one amax per block. */
static int get_ranges(PyObject *whole, PyObject *given, PyArrayObject *scales, pqc_blocks *job,
                      PyArrayObject **kept)
{
    double amax = PyFloat_AsDouble(whole);
    if (amax == -1.0 && PyErr_Occurred())
        return -1;
    job->global = (float)amax / (job->q.floats.hi * 448.0f);
    if (given == Py_None)
        return 0;
    *kept = pqc_number_array(given, "block_amax", false);
    if (!*kept)
        return -1;
    if (!PyArray_SAMESHAPE(*kept, scales)) {
        PyErr_SetString(PyExc_ValueError, "Expected `block_amax` with one element for each block");
        return -1;
    }
    job->given = PyArray_DATA(*kept);
    return 0;
}

PyDoc_STRVAR(block_quant_doc,
             "block_quant(inputs, block, exponent, mantissa, lo, hi, scale_exponent, amax, "
             "block_amax, elements, /)\n--\n\n"
             "(values or elements, scales): blocks along the last axis share a scale of the format "
             "E8M0 (scale_exponent 8) or E4M3 (4).");

static PyObject *block_quant(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_blocks job = {0};
    pqc_dtype dtype;
    long block, scale_exponent;
    PyArrayObject *x = NULL, *y = NULL, *scales = NULL, *given = NULL;
    PyObject *result = NULL;
    (void)self;
    if (pqc_check_count("block_quant", count, 10, 10) < 0 ||
        pqc_get_int(args[1], "block", 1, INT32_MAX, &block) < 0 ||
        get_elements(args + 2, &job.q.floats, &job.unit) < 0 ||
        pqc_get_int(args[6], "scale_exponent", 4, 8, &scale_exponent) < 0 ||
        pqc_get_bool(args[9], &job.elements) < 0 ||
        !(x = pqc_float_array(args[0], "inputs", &dtype)))
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    job.rule = scale_exponent == 8 ? PQC_SCALE_E8M0 : PQC_SCALE_E4M3;
    if (get_rows(x, dtype, block, &job) < 0 || !(scales = new_scales(x, job.length, block)) ||
        get_ranges(args[7], args[8], scales, &job, &given) < 0 ||
        get_rows(x, dtype, block, &job) < 0 ||
        pqc_check_unchanged(x, "inputs", dtype == PQC_F64 ? NPY_DOUBLE : NPY_FLOAT) < 0 ||
        !(y = pqc_new_like(x)))
        goto done;
    job.y = PyArray_DATA(y);
    job.scales = PyArray_DATA(scales);
    if (job.rows * pqc_div_round_up(job.length, block) != PyArray_SIZE(scales)) {
        PyErr_SetString(PyExc_ValueError, "Expected `inputs` to keep its shape");
        goto done;
    }
    PyThreadState *state = pqc_release_gil(job.rows * job.length);
    pqc_blocks_quantize(&job);
    pqc_acquire_gil(state);
    result = PyTuple_Pack(2, y, scales);
done:
    pqc_restore_float_mode(mode);
    Py_XDECREF(x);
    Py_XDECREF(y);
    Py_XDECREF(scales);
    Py_XDECREF(given);
    return result;
}

PyDoc_STRVAR(encode_doc, "encode(elements, exponent, mantissa, /)\n--\n\n"
                         "The codes, one uint8 each, of float32 numbers that the format has.");

static PyObject *encode(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_float_format format;
    pqc_dtype dtype;
    PyArrayObject *q = NULL, *codes = NULL;
    (void)self;
    if (pqc_check_count("encode", count, 3, 3) < 0 || pqc_get_float_format(args + 1, &format) < 0 ||
        !(q = pqc_float_array(args[0], "elements", &dtype)))
        return NULL;
    if (dtype != PQC_F32) {
        PyErr_SetString(PyExc_TypeError, "Expected `elements` of float32, got another type");
        goto done;
    }
    codes = (PyArrayObject *)PyArray_SimpleNew(PyArray_NDIM(q), PyArray_DIMS(q), NPY_UINT8);
    if (!codes)
        goto done;
    npy_intp size = PyArray_SIZE(codes);
    const float *from = PyArray_DATA(q);
    uint8_t *to = PyArray_DATA(codes);
    pqc_float_mode mode = pqc_set_default_float_mode();
    PyThreadState *state = pqc_release_gil(size);
    pqc_encode(from, to, size, &format);
    pqc_acquire_gil(state);
    pqc_restore_float_mode(mode);
done:
    Py_XDECREF(q);
    return (PyObject *)codes;
}

/* An array of this type, with at least this many dimensions; NULL with an exception. */
static PyArrayObject *plain(PyObject *object, const char *name, int type, int least)
{
    PyArrayObject *array = (PyArrayObject *)PyArray_FROMANY(
        object, type, 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_ENSUREARRAY);
    if (array && PyArray_NDIM(array) < least) {
        PyErr_Format(PyExc_ValueError, "Expected `%s` with at least %d dimensions, got %d", name,
                     least, PyArray_NDIM(array));
        Py_CLEAR(array);
    }
    return array;
}

static int check_sizes(PyArrayObject *codes, PyArrayObject *table, PyArrayObject *steps,
                       ptrdiff_t rows, ptrdiff_t length, long block)
{
    if (PyArray_SIZE(table) != 256)
        PyErr_Format(PyExc_ValueError, "Expected `table` with 256 values, got %zd",
                     (Py_ssize_t)PyArray_SIZE(table));
    else if (PyArray_SIZE(steps) != rows * pqc_div_round_up(length, block))
        PyErr_Format(PyExc_ValueError, "Expected `steps` with %zd elements, got %zd",
                     (Py_ssize_t)(rows * pqc_div_round_up(length, block)),
                     (Py_ssize_t)PyArray_SIZE(steps));
    else if (PyArray_SIZE(codes) != rows * length)
        PyErr_SetString(PyExc_ValueError, "Expected `codes` to keep its shape");
    else
        return 0;
    return -1;
}

PyDoc_STRVAR(
    decode_doc,
    "decode(codes, table, steps, block, /)\n--\n\n"
    "table[codes] * the step of each block along the last axis, as float32; codes are uint8.");

static PyObject *decode(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    long block;
    PyArrayObject *codes = NULL, *table = NULL, *steps = NULL, *y = NULL;
    (void)self;
    if (pqc_check_count("decode", count, 4, 4) < 0 ||
        pqc_get_int(args[3], "block", 1, INT32_MAX, &block) < 0)
        return NULL;
    if (!(codes = plain(args[0], "codes", NPY_UINT8, 1)) ||
        !(table = plain(args[1], "table", NPY_FLOAT, 0)) ||
        !(steps = plain(args[2], "steps", NPY_FLOAT, 0)) ||
        !(y = (PyArrayObject *)PyArray_SimpleNew(PyArray_NDIM(codes), PyArray_DIMS(codes),
                                                 NPY_FLOAT)))
        goto done;
    ptrdiff_t length = PyArray_DIM(y, PyArray_NDIM(y) - 1);
    ptrdiff_t rows = length ? PyArray_SIZE(y) / length : 0;
    if (check_sizes(codes, table, steps, rows, length, block) < 0) {
        Py_CLEAR(y);
        goto done;
    }
    const uint8_t *from = PyArray_DATA(codes);
    float *to = PyArray_DATA(y);
    const float *values = PyArray_DATA(table), *each = PyArray_DATA(steps);
    pqc_float_mode mode = pqc_set_default_float_mode();
    PyThreadState *state = pqc_release_gil(rows * length);
    pqc_decode(from, to, values, each, rows, length, block);
    pqc_acquire_gil(state);
    pqc_restore_float_mode(mode);
done:
    Py_XDECREF(codes);
    Py_XDECREF(table);
    Py_XDECREF(steps);
    return (PyObject *)y;
}

#define FASTCALL(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL, function##_doc

PyMethodDef pqc_formats_methods[] = {
    {"block_quant", FASTCALL(block_quant)},
    {"encode", FASTCALL(encode)},
    {"decode", FASTCALL(decode)},
    {NULL, NULL, 0, NULL},
};
