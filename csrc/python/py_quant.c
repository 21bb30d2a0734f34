/* quantize, fake_quant, e4m3, float_quant and ste: elementwise quantisation with one amax per channel. */
#include "elementwise.h"
#include "reduce.h"
#include "convert.h"
#include "dispatch.h"
#include "errors.h"
#include "families.h"
#include "scales.h"

static pqc_elementwise elementwise(pqc_operation operation, const pqc_operands *o,
                                   const pqc_scales *s)
{
    return (pqc_elementwise){
        .operation = operation, .dtype = o->dtype, .x = PyArray_DATA(o->x), .n = o->n, .q = s->q};
}

static pqc_status run(pqc_elementwise *job, bool check_sign)
{
    pqc_status status = PQC_OK;
    PyThreadState *state = pqc_release_gil(job->n);
    if (check_sign && pqc_reduce_min(job->x, job->dtype, job->n) < 0.0)
        status = PQC_NEGATIVE_INPUT;
    else
        pqc_apply(job);
    pqc_acquire_gil(state);
    return status;
}

/* clamp(rint(x * scale)), divided by the scale unless codes are wanted; NULL with an exception. */
static PyArrayObject *integer(pqc_operation operation, const pqc_operands *o, const pqc_scales *s,
                              pqc_int_format format, PyObject *out)
{
    PyArrayObject *y = pqc_begin_output(out, o->x);
    if (!y)
        return NULL;
    pqc_elementwise job = elementwise(operation, o, s);
    job.y = PyArray_DATA(y);
    if (pqc_raise(run(&job, format.is_unsigned && o->n > 0)) < 0)
        Py_CLEAR(y);
    else if (format.num_bits == 0) /* there is only one value, 0, also for infinities and NaN */
        memset(job.y, 0, (size_t)(o->n * pqc_dtype_size(o->dtype)));
    return y;
}

/* The scales, in the shape that amax was given in and the dtype of x. */
static PyObject *scale_array(const pqc_operands *o, pqc_int_format format)
{
    pqc_operands own = *o; /* with amax as it was before it was repeated to fit x */
    pqc_scales s = {0};
    PyArrayObject *values = o->given_amax, *result = NULL;
    PyArray_Descr *descr = PyArray_DESCR(o->x);
    own.amax = values ? PyArray_DATA(values) : (const void *)&o->number;
    own.channels = values ? PyArray_SIZE(values) : 1;
    if (pqc_scales_int(&s, &own, format) < 0)
        goto done;
    Py_INCREF(descr);
    result = (PyArrayObject *)PyArray_NewFromDescr(
        &PyArray_Type, descr, values ? PyArray_NDIM(values) : 0,
        values ? PyArray_DIMS(values) : NULL, NULL, NULL, 0, NULL);
    if (!result)
        goto done;
    if (o->dtype == PQC_F16)
        pqc.f32_to_f16(s.div, PyArray_DATA(result), own.channels);
    else if (o->dtype == PQC_BF16)
        pqc.f32_to_bf16(s.div, PyArray_DATA(result), own.channels);
    else
        memcpy(PyArray_DATA(result), s.div, (size_t)PyArray_NBYTES(result));
done:
    pqc_scales_clear(&s);
    return (PyObject *)result;
}

PyDoc_STRVAR(quantize_doc, "quantize(inputs, amax, num_bits, unsigned, narrow_range, /)\n--\n\n"
                           "(clamp(rint(inputs * scale)) as floats, scale) with scale = "
                           "(2^(num_bits-1+unsigned) - 1) / amax.");

static PyObject *quantize(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_operands o = {0};
    pqc_scales s = {0};
    pqc_int_format format;
    PyObject *result = NULL, *scale = NULL;
    PyArrayObject *y = NULL;
    (void)self;
    if (pqc_check_count("quantize", count, 5, 5) < 0 ||
        pqc_get_int_format(args + 2, 0, 32, &format) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    if (pqc_operands_init(&o, args[0], args[1], "inputs", "amax") < 0 ||
        pqc_scales_int(&s, &o, format) < 0)
        goto done;
    scale = scale_array(&o, format); /* from the current amax: another thread may write to it */
    y = scale ? integer(PQC_QUANTIZE, &o, &s, format, NULL) : NULL;
    if (y)
        result = PyTuple_Pack(2, y, scale);
done:
    pqc_restore_float_mode(mode);
    Py_XDECREF(y);
    Py_XDECREF(scale);
    pqc_scales_clear(&s);
    pqc_operands_clear(&o);
    return result;
}

PyDoc_STRVAR(
    fake_quant_doc,
    "fake_quant(inputs, amax, num_bits, unsigned, narrow_range, out=None, /)\n--\n\n"
    "clamp(rint(inputs * scale)) / scale with scale = (2^(num_bits-1+unsigned) - 1) / amax.");

static PyObject *fake_quant(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_operands o;
    pqc_scales s = {0};
    pqc_int_format format;
    PyObject *out = count > 5 ? args[5] : NULL, *result = NULL;
    (void)self;
    if (pqc_check_count("fake_quant", count, 5, 6) < 0 ||
        pqc_get_int_format(args + 2, 0, 32, &format) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    if (pqc_operands_init(&o, args[0], args[1], "inputs", "amax") < 0 ||
        pqc_scales_int(&s, &o, format) < 0)
        goto done;
    result = pqc_finish_output(integer(PQC_FAKE_QUANT, &o, &s, format, out), out);
done:
    pqc_restore_float_mode(mode);
    pqc_scales_clear(&s);
    pqc_operands_clear(&o);
    return result;
}

/* The original treats a Python number differently from an array: one division, in double. */
static void scale_of_number(double amax, pqc_scales *s, pqc_dtype dtype)
{
    double scale = 448.0 / amax;
    if (dtype == PQC_F64)
        s->few[0] = s->few[1] = scale;
    else
        *(float *)s->mul = *(float *)s->div = (float)scale;
}

/* Converts a Python number to a float; None, whose scale is 1, to 448; returns anything else as it is.  New
 * reference. */
static PyObject *number_or_array(PyObject *amax, bool *is_number)
{
    *is_number =
        amax == Py_None || PyFloat_Check(amax) || (PyLong_Check(amax) && !PyBool_Check(amax));
    if (amax == Py_None)
        return PyFloat_FromDouble(448.0);
    if (*is_number) {
        double value = PyFloat_AsDouble(amax);
        return value == -1.0 && PyErr_Occurred() ? NULL : PyFloat_FromDouble(value);
    }
    Py_INCREF(amax);
    return amax;
}

/* amax is a number or an array; `is_number`: it was a Python number, as above. */
static PyObject *float_quantised(PyObject *inputs, PyObject *amax, PyObject *out, bool is_number,
                                 pqc_float_format format)
{
    pqc_operands o;
    pqc_scales s = {0};
    PyArrayObject *y = NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    if (pqc_operands_init(&o, inputs, amax, "inputs", "amax") < 0 ||
        pqc_scales_float(&s, &o, &format) < 0)
        goto done;
    if (is_number)
        scale_of_number(PyFloat_AS_DOUBLE(amax), &s, o.dtype);
    y = pqc_begin_output(out, o.x);
    if (y) {
        pqc_elementwise job = elementwise(PQC_FLOAT_QUANT, &o, &s);
        job.y = PyArray_DATA(y);
        run(&job, false);
    }
done:
    pqc_restore_float_mode(mode);
    pqc_scales_clear(&s);
    pqc_operands_clear(&o);
    return pqc_finish_output(y, out);
}

PyDoc_STRVAR(e4m3_doc, "e4m3(inputs, amax=None, out=None, /)\n--\n\n"
                       "float8_e4m3(inputs * scale) / scale with scale = (1 / amax) * 448; 448 / "
                       "amax for a Python number;\n"
                       "1 without amax.");

static PyObject *e4m3(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    bool is_number;
    (void)self;
    if (pqc_check_count("e4m3", count, 1, 3) < 0)
        return NULL;
    PyObject *amax = number_or_array(count > 1 ? args[1] : Py_None, &is_number);
    if (!amax)
        return NULL;
    PyObject *y = float_quantised(args[0], amax, count > 2 ? args[2] : NULL, is_number,
                                  pqc_float_format_init(4, 3));
    Py_DECREF(amax);
    return y;
}

PyDoc_STRVAR(
    float_quant_doc,
    "float_quant(inputs, amax, exponent, mantissa, out=None, /)\n--\n\n"
    "nearest(inputs * scale) / scale with scale = (1 / amax) * (the largest float of so many "
    "bits of exponent and mantissa).");

static PyObject *float_quant(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_float_format format;
    (void)self;
    if (pqc_check_count("float_quant", count, 4, 5) < 0 ||
        pqc_get_float_format(args + 2, &format) < 0)
        return NULL;
    return float_quantised(args[0], args[1], count > 4 ? args[4] : NULL, false, format);
}

PyDoc_STRVAR(ste_doc, "ste(inputs, amax, grad_outputs, /)\n--\n\n"
                      "grad_outputs where |inputs| <= amax, else 0.");

static PyObject *ste(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_operands o = {0};
    pqc_scales s = {0};
    PyArrayObject *grad = NULL, *y = NULL;
    pqc_dtype grad_dtype;
    (void)self;
    if (pqc_check_count("ste", count, 3, 3) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    grad = pqc_float_array(args[2], "grad_outputs", &grad_dtype);
    int grad_type = grad ? PyArray_TYPE(grad) : NPY_NOTYPE;
    if (!grad || pqc_operands_init(&o, args[0], args[1], "inputs", "amax") < 0 ||
        pqc_check_unchanged(grad, "grad_outputs", grad_type) < 0 || pqc_scales_amax(&s, &o) < 0)
        goto done;
    if (grad_dtype != o.dtype || !PyArray_SAMESHAPE(grad, o.x)) {
        PyErr_Format(grad_dtype != o.dtype ? PyExc_TypeError : PyExc_ValueError,
                     "Expected `grad_outputs` of the dtype and shape of the output, got another %s",
                     grad_dtype != o.dtype ? "dtype" : "shape");
        goto done;
    }
    y = pqc_new_like(o.x);
    if (y) {
        pqc_elementwise job = elementwise(PQC_STE, &o, &s);
        job.grad = PyArray_DATA(grad);
        job.y = PyArray_DATA(y);
        run(&job, false);
    }
done:
    pqc_restore_float_mode(mode);
    Py_XDECREF(grad);
    pqc_scales_clear(&s);
    pqc_operands_clear(&o);
    return (PyObject *)y;
}

#define FASTCALL(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL, function##_doc

PyMethodDef pqc_quant_methods[] = {
    {"quantize", FASTCALL(quantize)}, {"fake_quant", FASTCALL(fake_quant)},
    {"e4m3", FASTCALL(e4m3)},         {"float_quant", FASTCALL(float_quant)},
    {"ste", FASTCALL(ste)},           {NULL, NULL, 0, NULL},
};
