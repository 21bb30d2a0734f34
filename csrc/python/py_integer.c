/* Convolution and linear layers on integers: packed weights as a capsule, and the call. */
#include "reduce.h"
#include "conv.h"
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "guards.h"
#include "unchanged.h"
#include "workspace.h"

#include <math.h>
#include <stdatomic.h>

enum {
    MAX_CHANNELS = 1 << 24, /* a tile of rows is addressed with 31 bits */
    PLAIN_ARRAY = NPY_ARRAY_CARRAY_RO |
                  NPY_ARRAY_ENSUREARRAY, /* not of a subclass, whose own code would run */
};

static const char capsule_name[] = "pytorch_quantization_c.packed_weights";

typedef struct {
    pqc_packed_weights plan;
    int axes;              /* of the layer: 0 for a linear one */
    pqc_int_format format; /* of the input */
    void *memory;
    atomic_uint calls;
} packed;

static void packed_free(PyObject *capsule)
{
    packed *p = PyCapsule_GetPointer(capsule, capsule_name);
    if (p)
        pqc_workspace_free(p->memory);
    PyMem_RawFree(p);
}

/* One tuple of `axes` integers from `low` on into a field of the last axes. */
static int get_numbers(PyObject *tuple, const char *name, int axes, long low, ptrdiff_t *values)
{
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != axes) {
        PyErr_Format(PyExc_ValueError, "Expected `%s` to be a tuple of %d integers, got %R", name,
                     axes, tuple);
        return -1;
    }
    for (int i = 0; i < axes; i++) {
        long value;
        if (pqc_get_int(PyTuple_GET_ITEM(tuple, i), name, low, INT32_MAX, &value) < 0)
            return -1;
        values[PQC_AXES - axes + i] = value;
    }
    return 0;
}

/* stride, before, after, dilation, output_padding: args in this order. */
static int get_axes(PyObject *const *args, int axes, pqc_conv_shape *shape)
{
    static const char *const names[] = {"stride", "padding before", "padding after", "dilation",
                                        "output_padding"};
    ptrdiff_t values[5][PQC_AXES];
    for (int i = 0; i < 5; i++) {
        long low = i == 0 || i == 3 ? 1 : 0;
        for (int axis = 0; axis < PQC_AXES; axis++)
            values[i][axis] = low;
        if (get_numbers(args[i], names[i], axes, low, values[i]) < 0)
            return -1;
    }
    for (int axis = 0; axis < PQC_AXES; axis++)
        shape->axis[axis] = (pqc_conv_axis){.kernel = 1,
                                            .stride = values[0][axis],
                                            .before = values[1][axis],
                                            .after = values[2][axis],
                                            .dilation = values[3][axis],
                                            .extra = values[4][axis]};
    return 0;
}

static PyArrayObject *get_weights(PyObject *object, int *axes, bool *is_unsigned)
{
    if (!PyArray_Check(object)) {
        PyErr_Format(PyExc_TypeError, "Expected `weight` to be an array, got %R", object);
        return NULL;
    }
    PyArrayObject *given = (PyArrayObject *)object;
    int type = PyArray_TYPE(given);
    *axes = PyArray_NDIM(given) - 2;
    *is_unsigned = type == NPY_UINT8;
    if ((type != NPY_INT8 && type != NPY_UINT8) || *axes < 0 || *axes > PQC_AXES ||
        PyArray_SIZE(given) == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "Expected `weight` to be int8 or uint8, not empty, with 2 to 5 dimensions");
        return NULL;
    }
    return (PyArrayObject *)PyArray_FROM_OF(object, PLAIN_ARRAY);
}

static int set_channels(pqc_conv_shape *shape, PyArrayObject *weights, int axes, long groups)
{
    npy_intp rows = PyArray_DIM(weights, 0);
    if (axes == 0 && groups != 1) {
        PyErr_Format(PyExc_ValueError, "Expected `groups` 1 with a matrix for `weight`, got %ld",
                     groups);
        return -1;
    }
    for (int i = 0; i < axes; i++)
        shape->axis[PQC_AXES - axes + i].kernel = PyArray_DIM(weights, 2 + i);
    if (rows % groups != 0) {
        PyErr_Format(PyExc_ValueError, "Expected `groups` to divide %zd channels, got %ld", rows,
                     groups);
        return -1;
    }
    shape->groups = groups;
    shape->in = shape->transposed ? rows / groups : PyArray_DIM(weights, 1);
    shape->out = shape->transposed ? PyArray_DIM(weights, 1) : rows / groups;
    shape->matrix = axes == 0;
    shape->kw4 = !shape->matrix && pqc_conv_wants_kw4(shape);
    return 0;
}

static bool has_above_127(PyArrayObject *weights)
{
    const uint8_t *bytes = PyArray_DATA(weights);
    for (npy_intp i = 0; i < PyArray_SIZE(weights); i++)
        if (bytes[i] > 127)
            return PyArray_TYPE(weights) == NPY_UINT8;
    return false;
}

static PyObject *new_packed(pqc_conv_shape *shape, int axes, pqc_int_format format,
                            PyArrayObject *weights, PyArrayObject *scale)
{
    bool wide = has_above_127(weights);
    shape->amx = pqc_conv_wanted_amx(shape, wide);
    ptrdiff_t bytes = pqc_packed_weights_bytes(shape, wide);
    if (bytes < 0) {
        PyErr_SetString(PyExc_ValueError, "Expected a kernel and strides of less extent");
        return NULL;
    }
    packed *p = PyMem_RawMalloc(sizeof *p);
    void *memory = p ? pqc_workspace_allocate(bytes) : NULL;
    if (!memory) {
        PyMem_RawFree(p);
        return PyErr_NoMemory();
    }
    *p = (packed){.axes = axes, .format = format, .memory = memory};
    Py_BEGIN_ALLOW_THREADS
    pqc_pack_weights(&p->plan, shape, wide, memory, PyArray_DATA(weights), PyArray_DATA(scale));
    Py_END_ALLOW_THREADS
    PyObject *capsule = PyCapsule_New(p, capsule_name, packed_free);
    if (!capsule) {
        pqc_workspace_free(memory);
        PyMem_RawFree(p);
    }
    return capsule;
}

/* That no other argument has changed them meanwhile. */
static int check_weights(PyArrayObject *weights, int axes, bool is_unsigned)
{
    if (pqc_check_unchanged(weights, "weight", is_unsigned ? NPY_UINT8 : NPY_INT8) < 0)
        return -1;
    if (PyArray_NDIM(weights) == axes + 2 && PyArray_SIZE(weights) > 0)
        return 0;
    PyErr_SetString(PyExc_ValueError,
                    "Expected `weight` to keep its shape while other arguments are converted");
    return -1;
}

static int check_scale(PyArrayObject *scale, const pqc_conv_shape *shape)
{
    if (PyArray_SIZE(scale) == shape->groups * shape->out)
        return 0;
    PyErr_Format(PyExc_ValueError, "Expected `scale` to have %zd elements, got %zd",
                 shape->groups * shape->out, PyArray_SIZE(scale));
    return -1;
}

PyDoc_STRVAR(integer_pack_doc,
             "integer_pack(weight, scale, transposed, groups, stride, before, after, dilation, "
             "output_padding, num_bits, unsigned, narrow_range, /)\n--\n\n"
             "Pack int8 or uint8 weights in the layer's own order for `integer_run`.  `scale`: one "
             "float32 for every output channel, by which the weights were multiplied.  The last "
             "three say how the input is quantised, 2 to 8 bits.");

static PyObject *integer_pack(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_conv_shape shape = {0};
    pqc_int_format format;
    long groups, bits;
    int axes;
    PyObject *capsule = NULL;
    (void)self;
    if (pqc_check_count("integer_pack", count, 12, 12) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    PyArrayObject *scale = NULL, *weights = get_weights(args[0], &axes, &shape.is_unsigned);
    if (!weights || pqc_get_bool(args[2], &shape.transposed) < 0 ||
        pqc_get_int(args[3], "groups", 1, INT32_MAX, &groups) < 0 ||
        get_axes(args + 4, axes, &shape) < 0 || pqc_get_int(args[9], "num_bits", 2, 8, &bits) < 0 ||
        pqc_get_bool(args[10], &format.is_unsigned) < 0 ||
        pqc_get_bool(args[11], &format.narrow_range) < 0)
        goto done;
    format.num_bits = (int)bits;
    scale = (PyArrayObject *)PyArray_FROMANY(args[1], NPY_FLOAT, 1, 1, PLAIN_ARRAY);
    if (scale && check_weights(weights, axes, shape.is_unsigned) == 0 &&
        set_channels(&shape, weights, axes, groups) == 0 && check_scale(scale, &shape) == 0)
        capsule = new_packed(&shape, axes, format, weights, scale);
done:
    pqc_restore_float_mode(mode);
    Py_XDECREF(weights);
    Py_XDECREF(scale);
    return capsule;
}

/* Everything of one call. */
typedef struct {
    packed *p;
    PyArrayObject *x, *bias, *y;
    float amax;
    bool in_flight;
    pqc_conv_view view;
    pqc_conv_call call;
    ptrdiff_t workspace, elements; /* elements of x: another thread may change the array */
} run;

/* The view and the shape of the result; or why integers cannot do it. */
static const char *set_shape(run *r, npy_intp *shape)
{
    const pqc_packed_weights *plan = &r->p->plan;
    int ndim = PyArray_NDIM(r->x), axes = r->p->axes;
    npy_intp channels = plan->shape.groups * plan->shape.in;
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
    shape[ndim - 1 - axes] = plan->shape.groups * plan->shape.out;
    if (axes == 0) {
        r->workspace = pqc_linear_workspace(plan, r->call.batch);
        return NULL;
    }
    if (!pqc_conv_view_init(&r->view, &plan->shape, size))
        return "no output, or too large an image";
    for (int i = 0; i < axes; i++)
        shape[ndim - axes + i] = r->view.axis[PQC_AXES - axes + i].out;
    if (pqc_conv_is_pointwise(&plan->shape)) {
        ptrdiff_t line[PQC_AXES] = {1, 1, r->view.inputs}; /* rows do not matter */
        if (!pqc_conv_view_init(&r->view, &plan->shape, line))
            return "too large an image";
    }
    r->workspace = pqc_conv_prepare(plan, &r->view, &r->call);
    return NULL;
}

/* Without the GIL: the range, the scale, the layer. */
static const char *compute(run *r)
{
    const pqc_packed_weights *plan = &r->p->plan;
    pqc_dimension all = {r->elements, false};
    if (r->in_flight)
        pqc_reduce_amax(r->call.x, PQC_F32, &all, 1, &r->amax);
    if (!isfinite(r->amax) || r->amax < 0)
        return "amax is negative or not finite";
    pqc_int_quant q = pqc_int_quant_init(r->amax, r->p->format);
    if (!isfinite(q.mul) || !pqc_conv_scale_is_safe(plan, q.div))
        return "scales beyond the range of float32";
    r->call.q = pqc_u8_quant_of(q, r->p->format);
    r->call.q.bounded = r->in_flight;
    r->call.div = q.div;
    if (r->p->format.is_unsigned && pqc_reduce_min(r->call.x, PQC_F32, all.length) < 0)
        return "negative input"; /* also where no output looks */
    unsigned flags =
        r->p->axes == 0 ? pqc_linear_run(plan, &r->call) : pqc_conv_run(plan, &r->view, &r->call);
    return flags & PQC_U8_NAN ? "NaN in the input" : flags ? "negative input" : NULL;
}

/* A new float32 array; from 16 KiB on it begins on a cache line, so that no store is across two and a large one can be
 * written around the caches.  Such an array is a view of one that is a line longer. */
static PyArrayObject *new_output(int ndim, const npy_intp *shape)
{
    enum { LARGE = 1 << 12, LINE = 64 };
    npy_intp count = PyArray_MultiplyList(shape, ndim), padded = count + LINE / 4;
    if (count < LARGE)
        return (PyArrayObject *)PyArray_SimpleNew(ndim, shape, NPY_FLOAT);
    PyArrayObject *whole = (PyArrayObject *)PyArray_SimpleNew(1, &padded, NPY_FLOAT);
    if (!whole)
        return NULL;
    char *data = PyArray_DATA(whole);
    data += pqc_bytes_to(data, LINE);
    PyArrayObject *y = (PyArrayObject *)PyArray_New(&PyArray_Type, ndim, shape, NPY_FLOAT, NULL,
                                                    data, 0, NPY_ARRAY_CARRAY, NULL);
    if (y && PyArray_SetBaseObject(y, (PyObject *)whole) == 0)
        return y;
    if (!y)
        Py_DECREF(whole);
    Py_XDECREF(y);
    return NULL;
}

/* Allocates the result, or says why not; NULL with an exception if there is no memory. */
static const char *run_layer(run *r)
{
    npy_intp shape[NPY_MAXDIMS];
    const char *why = set_shape(r, shape);
    if (why)
        return why;
    r->call.workspace = pqc_workspace_take(r->workspace);
    if (!r->call.workspace) {
        PyErr_NoMemory();
        return NULL;
    }
    r->y = new_output(PyArray_NDIM(r->x), shape);
    if (r->y) {
        r->call.x = PyArray_DATA(r->x);
        r->elements = PyArray_SIZE(r->x);
        r->call.bias = r->bias ? PyArray_DATA(r->bias) : NULL;
        r->call.y = PyArray_DATA(r->y);
        r->call.backwards =
            atomic_fetch_add_explicit(&r->p->calls, 1, memory_order_relaxed) % 2 != 0;
        PyThreadState *state = pqc_release_gil(r->elements * r->p->plan.padded_out / 16);
        why = compute(r);
        pqc_acquire_gil(state);
    }
    pqc_workspace_give(r->call.workspace);
    return why;
}

static bool is_plain_float(PyObject *object)
{
    return PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_FLOAT &&
           PyArray_ISNOTSWAPPED((PyArrayObject *)object);
}

/* As the kernels read it; mostly it is so already. */
static PyArrayObject *contiguous(PyArrayObject *array)
{
    if (PyArray_CHKFLAGS(array, NPY_ARRAY_CARRAY_RO))
        return (PyArrayObject *)Py_NewRef((PyObject *)array);
    return (PyArrayObject *)PyArray_FROM_OF((PyObject *)array, PLAIN_ARRAY);
}

/* None: the range of the input itself. */
static int get_amax(PyObject *object, run *r)
{
    r->in_flight = object == Py_None;
    if (r->in_flight)
        return 0;
    if (is_plain_float(object) && PyArray_SIZE((PyArrayObject *)object) == 1 &&
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

static bool is_bias(PyObject *object, ptrdiff_t channels)
{
    return is_plain_float(object) && PyArray_SIZE((PyArrayObject *)object) == channels;
}

static int get_bias(PyObject *object, run *r)
{
    if (object == Py_None)
        return 0;
    ptrdiff_t channels = r->p->plan.shape.groups * r->p->plan.shape.out;
    if (!is_bias(object, channels)) {
        PyErr_Format(PyExc_ValueError, "Expected `bias` to be %zd float32 values", channels);
        return -1;
    }
    r->bias = contiguous((PyArrayObject *)object);
    return r->bias ? 0 : -1;
}

/* The result, or a string that says why there is none. */
static PyObject *finished(run *r, PyObject *input)
{
    if (!is_plain_float(input))
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
}

PyDoc_STRVAR(integer_run_doc,
             "integer_run(packed, input, amax, bias, /)\n--\n\n"
             "The layer of `integer_pack` on a float32 array; amax None: that of the input.  A "
             "string instead of the result says why integers cannot give it.");

static PyObject *integer_run(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    run r = {0};
    PyObject *result = NULL;
    (void)self;
    if (pqc_check_count("integer_run", count, 4, 4) < 0)
        return NULL;
    r.p = PyCapsule_GetPointer(args[0], capsule_name);
    pqc_float_mode mode = pqc_set_default_float_mode();
    if (r.p && get_amax(args[2], &r) == 0 && get_bias(args[3], &r) == 0)
        result = finished(&r, args[1]);
    pqc_restore_float_mode(mode);
    clear(&r);
    return result;
}

/* What a prepared call has beside its input: packed weights, amax, bias, what proves the weight,
 * guards. */
typedef struct {
    PyObject *packed, *amax, *bias, *weight, *guards;
} ready;

static int get_ready(PyObject *object, ready *r)
{
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 5) {
        PyErr_Format(PyExc_TypeError, "Expected `ready` to be a tuple of 5, got %R", object);
        return -1;
    }
    *r = (ready){PyTuple_GET_ITEM(object, 0), PyTuple_GET_ITEM(object, 1),
                 PyTuple_GET_ITEM(object, 2), PyTuple_GET_ITEM(object, 3),
                 PyTuple_GET_ITEM(object, 4)};
    return 0;
}

/* Of arrays the guards compare the objects: what can change in place is looked at here. */
static int arrays_are_as_before(const ready *r, const packed *p)
{
    ptrdiff_t channels = p->plan.shape.groups * p->plan.shape.out;
    bool is_number = PyArray_Check(r->amax) && PyArray_SIZE((PyArrayObject *)r->amax) == 1;
    if (!(r->amax == Py_None || is_number) || !(r->bias == Py_None || is_bias(r->bias, channels)))
        return 0;
    return pqc_is_unchanged(r->weight);
}

PyDoc_STRVAR(integer_call_doc,
             "integer_call(ready, layer, input, /)\n--\n\n"
             "`integer_run` if nothing of the layer has changed that the tuple `ready` names (see "
             "integer/guards.py) and the input is a float32 array; else None.");

static PyObject *integer_call(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    run r = {0};
    ready given;
    PyObject *result = NULL;
    (void)self;
    if (pqc_check_count("integer_call", count, 3, 3) < 0 || get_ready(args[0], &given) < 0)
        return NULL;
    r.p = PyCapsule_GetPointer(given.packed, capsule_name);
    int as_before = r.p ? pqc_guards_hold(given.guards, args[1]) : -1;
    if (as_before > 0)
        as_before = is_plain_float(args[2]) ? arrays_are_as_before(&given, r.p) : 0;
    if (as_before < 0)
        return NULL;
    if (!as_before)
        Py_RETURN_NONE;
    pqc_float_mode mode = pqc_set_default_float_mode();
    if (get_amax(given.amax, &r) == 0 && get_bias(given.bias, &r) == 0)
        result = finished(&r, args[2]);
    pqc_restore_float_mode(mode);
    clear(&r);
    return result;
}

PyMethodDef pqc_integer_methods[] = {
    {"integer_call", (PyCFunction)(void (*)(void))integer_call, METH_FASTCALL, integer_call_doc},
    {"integer_pack", (PyCFunction)(void (*)(void))integer_pack, METH_FASTCALL, integer_pack_doc},
    {"integer_run", (PyCFunction)(void (*)(void))integer_run, METH_FASTCALL, integer_run_doc},
    {NULL, NULL, 0, NULL},
};
