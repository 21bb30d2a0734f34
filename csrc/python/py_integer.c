/* integer_run: a convolution or linear layer on integers. */
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "integer_layer.h"
#include "output_memory.h"
#include "reduce.h"
#include "workspace.h"

#include <math.h>

enum { MAX_CHANNELS = 1 << 24 }; /* the offsets within a tile of rows must fit into 31 bits */

/* The state of one call. */
typedef struct {
    pqc_integer_layer *layer;
    PyArrayObject *x, *bias, *y;
    float amax; /* for a layer with a zero point: its scale */
    int32_t zero;
    bool in_flight;
    bool by_row; /* one amax per row, `given` or computed */
    PyArrayObject *given;
    pqc_packed_weights shifted; /* the weights compensated for this zero point, in zero_memory */
    void *zero_memory;
    pqc_conv_view view;
    pqc_conv_call call;
    /* `elements`: of x, kept because another thread may reshape the array */
    ptrdiff_t workspace, elements;
} run;

/* Sets the view and the shape of the result; or returns why integers cannot compute it. */
static const char *set_shape(run *r, npy_intp *shape)
{
    const pqc_packed_weights *weights = &r->layer->weights;
    int ndim = PyArray_NDIM(r->x), axes = r->layer->axes;
    npy_intp channels = weights->shape.groups * weights->shape.in;
    if (ndim < (axes == 0 ? 1 : axes + 1) || (axes != 0 && ndim > axes + 2))
        return "unexpected number of dimensions";
    if (PyArray_DIM(r->x, axes == 0 ? ndim - 1 : ndim - axes - 1) != channels)
        return "unexpected number of channels";
    if (PyArray_SIZE(r->x) == 0)
        return "empty input";
    if (channels > MAX_CHANNELS)
        return "too many channels";
    ptrdiff_t size[PQC_AXES] = {1, 1, 1};
    for (int i = 0; i < ndim; i++)
        shape[i] = PyArray_DIM(r->x, i);
    for (int i = 0; i < axes; i++)
        size[PQC_AXES - axes + i] = shape[ndim - axes + i];
    r->call.batch = axes == 0 ? PyArray_SIZE(r->x) / channels : ndim == axes + 2 ? shape[0] : 1;
    shape[ndim - 1 - axes] = weights->shape.groups * weights->shape.out;
    if (axes == 0) {
        r->workspace = pqc_linear_workspace(weights, r->call.batch);
        return NULL;
    }
    if (!pqc_conv_view_init(&r->view, &weights->shape, size))
        return "no output, or too large an image";
    for (int i = 0; i < axes; i++)
        shape[ndim - axes + i] = r->view.axis[PQC_AXES - axes + i].out;
    if (pqc_conv_is_pointwise(&weights->shape)) {
        /* a pointwise layer does not depend on the rows */
        ptrdiff_t line[PQC_AXES] = {1, 1, r->view.inputs};
        if (!pqc_conv_view_init(&r->view, &weights->shape, line))
            return "too large an image";
    }
    r->workspace = pqc_conv_prepare(weights, &r->view, &r->call);
    return NULL;
}

static const char *product(run *r, const pqc_packed_weights *weights)
{
    unsigned flags = r->layer->axes == 0 ? pqc_linear_run(weights, &r->call)
                                         : pqc_conv_run(weights, &r->view, &r->call);
    return flags & PQC_U8_NAN ? "NaN in the input" : flags ? "negative input" : NULL;
}

/* With a scale and a zero point: bytes are levels above the lower end of the range. */
static const char *compute_two_ended(run *r)
{
    const pqc_packed_weights *weights = &r->layer->weights;
    int32_t levels = (1 << r->layer->format.num_bits) - 1;
    if (!isfinite(r->amax) || r->amax <= 0.0f || !pqc_conv_scale_is_safe(weights, r->amax))
        return "scales beyond the range of float32";
    r->call.q = (pqc_u8_quant){
        .mul = r->amax, .lo = (float)-r->zero, .hi = (float)(levels - r->zero), .zero = r->zero};
    r->call.div = r->amax;
    if (r->zero != 0 && r->zero != 128) {
        pqc_with_zero_point(&r->shifted, weights, r->zero, r->zero_memory);
        weights = &r->shifted;
    }
    return product(r, weights);
}

static const char *amax_to_quant(const run *r, float amax, pqc_int_quant *q)
{
    if (!isfinite(amax) || amax < 0)
        return "amax is negative or not finite";
    *q = pqc_int_quant_init(amax, r->layer->format);
    if (!isfinite(q->mul) || !pqc_conv_scale_is_safe(&r->layer->weights, q->div))
        return "scales beyond the range of float32";
    return NULL;
}

/* With one range per row: the quantisers and divisors of the rows lie in zero_memory. */
static const char *compute_rows(run *r)
{
    ptrdiff_t rows = r->call.batch;
    double *inverse = r->zero_memory;
    pqc_u8_quant *quants = (pqc_u8_quant *)(void *)(inverse + rows);
    float *found = (float *)(void *)(quants + rows);
    pqc_dimension each[] = {{rows, true}, {r->layer->weights.shape.in, false}};
    if (r->in_flight)
        pqc_reduce_amax(r->call.x, PQC_F32, each, 2, found);
    const float *amax = r->in_flight ? found : PyArray_DATA(r->given);
    for (ptrdiff_t i = 0; i < rows; i++) {
        pqc_int_quant q;
        const char *why = amax_to_quant(r, amax[i], &q);
        if (why)
            return why;
        quants[i] = pqc_u8_quant_of(q, r->layer->format);
        quants[i].bounded = r->in_flight;
        inverse[i] = 1.0 / (double)q.div;
    }
    if (r->layer->format.is_unsigned && pqc_reduce_min(r->call.x, PQC_F32, r->elements) < 0)
        return "negative input";
    r->call.q = quants[0];
    r->call.div = 1.0f;
    r->call.row_q = quants;
    r->call.row_inverse = inverse;
    return product(r, &r->layer->weights);
}

/* Runs without the GIL: finds the range and the scale, and runs the layer. */
static const char *compute(run *r)
{
    const pqc_packed_weights *weights = &r->layer->weights;
    if (r->layer->two_ended)
        return compute_two_ended(r);
    if (r->by_row && r->call.batch > 1)
        return compute_rows(r);
    pqc_dimension all = {r->elements, false};
    if (r->in_flight)
        pqc_reduce_amax(r->call.x, PQC_F32, &all, 1, &r->amax);
    pqc_int_quant q;
    const char *why = amax_to_quant(r, r->amax, &q);
    if (why)
        return why;
    r->call.q = pqc_u8_quant_of(q, r->layer->format);
    r->call.q.bounded = r->in_flight;
    r->call.div = q.div;
    if (r->layer->format.is_unsigned && pqc_reduce_min(r->call.x, PQC_F32, all.length) < 0)
        return "negative input"; /* also where no output depends on it */
    return product(r, weights);
}

/* Allocates the result and runs; or returns why not; NULL with an exception set if there is no memory. */
static const char *run_layer(run *r)
{
    npy_intp shape[NPY_MAXDIMS];
    const char *why = set_shape(r, shape);
    if (why)
        return why;
    if (r->given && PyArray_SIZE(r->given) != r->call.batch)
        return "another number of ranges than rows";
    ptrdiff_t whole = pqc_line_aligned(r->workspace);
    if (r->layer->two_ended)
        whole += pqc_zero_point_bytes(&r->layer->weights);
    if (r->by_row)
        whole += r->call.batch * (ptrdiff_t)(sizeof(double) + sizeof(pqc_u8_quant) + sizeof(float));
    r->call.workspace = pqc_workspace_take(whole);
    if (!r->call.workspace) {
        PyErr_NoMemory();
        return NULL;
    }
    r->zero_memory = (char *)r->call.workspace + pqc_line_aligned(r->workspace);
    r->y = pqc_new_floats(PyArray_NDIM(r->x), shape);
    if (r->y) {
        r->call.x = PyArray_DATA(r->x);
        r->elements = PyArray_SIZE(r->x);
        r->call.bias = r->bias ? PyArray_DATA(r->bias) : NULL;
        r->call.y = PyArray_DATA(r->y);
        r->call.backwards =
            atomic_fetch_add_explicit(&r->layer->calls, 1, memory_order_relaxed) % 2 != 0;
        PyThreadState *state = pqc_release_gil(r->elements * r->layer->weights.padded_out / 16);
        why = compute(r);
        pqc_acquire_gil(state);
    }
    pqc_workspace_give(r->call.workspace);
    return why;
}

bool pqc_is_plain_float(PyObject *object)
{
    return PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_FLOAT &&
           PyArray_ISNOTSWAPPED((PyArrayObject *)object);
}

/* The array in the layout the kernels read; usually it has that already. */
static PyArrayObject *contiguous(PyArrayObject *array)
{
    if (PyArray_CHKFLAGS(array, NPY_ARRAY_CARRAY_RO))
        return (PyArrayObject *)Py_NewRef((PyObject *)array);
    return (PyArrayObject *)PyArray_FROM_OF((PyObject *)array, PQC_PLAIN_ARRAY);
}

/* Reads an array of two: the scale, and the zero point (the level of the value 0). */
static int get_scale_and_zero(PyObject *object, run *r)
{
    PyArrayObject *pair = pqc_number_array(object, "amax", false);
    if (!pair)
        return -1;
    const float *values = PyArray_DATA(pair);
    float levels = (float)((1 << r->layer->format.num_bits) - 1);
    bool good = PyArray_SIZE(pair) == 2 && values[1] >= 0.0f && values[1] <= levels;
    if (good) {
        r->amax = values[0];
        r->zero = (int32_t)values[1];
    } else {
        PyErr_SetString(PyExc_ValueError,
                        "Expected `amax` of a layer with a zero point to be a scale and a level");
    }
    Py_DECREF(pair);
    return good ? 0 : -1;
}

/* None means that it is taken from the input. */
static int get_amax(PyObject *object, run *r)
{
    if (r->layer->two_ended)
        return get_scale_and_zero(object, r);
    r->in_flight = object == Py_None;
    if (r->in_flight)
        return 0;
    if (r->by_row) {
        r->given = pqc_number_array(object, "amax", false);
        if (r->given && PyArray_SIZE(r->given) == 1)
            r->amax = *(const float *)PyArray_DATA(r->given);
        return r->given ? 0 : -1;
    }
    if (pqc_is_plain_float(object) && PyArray_SIZE((PyArrayObject *)object) == 1 &&
        PyArray_ISALIGNED((PyArrayObject *)object)) {
        r->amax = *(const float *)PyArray_DATA((PyArrayObject *)object);
        return 0;
    }
    PyArrayObject *amax = pqc_number_array(object, "amax", false);
    if (!amax)
        return -1;
    if (PyArray_SIZE(amax) == 1)
        r->amax = *(const float *)PyArray_DATA(amax);
    else
        PyErr_Format(PyExc_ValueError, "Expected `amax` to have one element, got %zd",
                     PyArray_SIZE(amax));
    Py_DECREF(amax);
    return PyErr_Occurred() ? -1 : 0;
}

static ptrdiff_t channels_of(const pqc_integer_layer *layer)
{
    return layer->weights.shape.groups * layer->weights.shape.out;
}

bool pqc_is_bias(PyObject *object, const pqc_integer_layer *layer)
{
    return pqc_is_plain_float(object) && PyArray_NDIM((PyArrayObject *)object) == 1 &&
           PyArray_SIZE((PyArrayObject *)object) == channels_of(layer);
}

static int get_bias(PyObject *object, run *r)
{
    if (object == Py_None)
        return 0;
    if (!pqc_is_bias(object, r->layer)) {
        PyErr_Format(PyExc_ValueError, "Expected `bias` to be %zd float32 values on one axis",
                     channels_of(r->layer));
        return -1;
    }
    r->bias = contiguous((PyArrayObject *)object);
    return r->bias ? 0 : -1;
}

/* The result, or a string that says why there is none. */
static PyObject *finished(run *r, PyObject *input)
{
    if (!pqc_is_plain_float(input))
        return PyUnicode_FromString("the input is not a float32 array");
    r->x = contiguous((PyArrayObject *)input);
    if (!r->x)
        return NULL;
    const char *why = run_layer(r);
    return why ? PyUnicode_FromString(why) : Py_XNewRef((PyObject *)r->y);
}

static void clear(run *r)
{
    Py_XDECREF(r->x);
    Py_XDECREF(r->bias);
    Py_XDECREF(r->y);
    Py_XDECREF(r->given);
}

PyObject *pqc_integer_layer_run(pqc_integer_layer *layer, PyObject *input, PyObject *amax,
                                PyObject *bias, bool by_row)
{
    run r = {.layer = layer, .by_row = by_row};
    PyObject *result = NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    if (get_amax(amax, &r) == 0 && get_bias(bias, &r) == 0)
        result = finished(&r, input);
    pqc_restore_float_mode(mode);
    clear(&r);
    return result;
}

PyDoc_STRVAR(integer_run_doc, "integer_run(packed, input, amax, bias, by_row=False, /)\n--\n\n"
                              "The layer of `integer_pack` on a float32 array; amax None: that of "
                              "the input, or with `by_row`, "
                              "of a linear layer, of each row; of a "
                              "`two_ended` layer a scale and a zero point.  A "
                              "string instead of the result says why integers cannot give it.");

static PyObject *integer_run(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    bool by_row = false;
    if (pqc_check_count("integer_run", count, 4, 5) < 0 ||
        (count > 4 && pqc_get_bool(args[4], &by_row) < 0))
        return NULL;
    pqc_integer_layer *layer = pqc_integer_layer_of(args[0]);
    if (layer && by_row && (layer->axes != 0 || layer->two_ended)) {
        PyErr_SetString(PyExc_ValueError,
                        "Expected a linear layer without a zero point for ranges of rows");
        return NULL;
    }
    return layer ? pqc_integer_layer_run(layer, args[1], args[2], args[3], by_row) : NULL;
}

PyMethodDef pqc_integer_methods[] = {
    {"integer_run", (PyCFunction)(void (*)(void))integer_run, METH_FASTCALL, integer_run_doc},
    {NULL, NULL, 0, NULL},
};
