/* integer_pack: packs the weights of a convolution or linear layer into a capsule. */
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "integer_layer.h"
#include "workspace.h"

#include <math.h>

static const char capsule_name[] = "pytorch_quantization_c.packed_weights";

static void packed_free(PyObject *capsule)
{
    pqc_integer_layer *layer = PyCapsule_GetPointer(capsule, capsule_name);
    if (layer)
        pqc_workspace_free(layer->memory);
    PyMem_RawFree(layer);
}

pqc_integer_layer *pqc_integer_layer_of(PyObject *capsule)
{
    return PyCapsule_GetPointer(capsule, capsule_name);
}

/* Reads a tuple of `axes` integers, each at least `low`, into one field of the last axes. */
static int get_numbers(PyObject *tuple, const char *name, int axes, long low, ptrdiff_t *values)
{
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != axes) {
        pqc_refuse(PyExc_ValueError, tuple, "Expected `%s` to be a tuple of %d integers", name,
                   axes);
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

/* Reads stride, before, after, dilation and output_padding, in this order. */
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
        pqc_refuse(PyExc_TypeError, object, "Expected `weight` to be an array");
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
    return (PyArrayObject *)PyArray_FROM_OF(object, PQC_PLAIN_ARRAY);
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

static PyObject *new_packed(pqc_conv_shape *shape, int axes, pqc_int_format format, bool two_ended,
                            PyArrayObject *weights, PyArrayObject *scale)
{
    bool wide = has_above_127(weights);
    shape->amx = pqc_conv_wanted_amx(shape, wide);
    ptrdiff_t bytes = pqc_packed_weights_bytes(shape, wide);
    if (bytes < 0) {
        PyErr_SetString(PyExc_ValueError, "Expected a kernel and strides of less extent");
        return NULL;
    }
    pqc_integer_layer *layer = PyMem_RawMalloc(sizeof *layer);
    void *memory = layer ? pqc_workspace_allocate(bytes) : NULL;
    if (!memory) {
        PyMem_RawFree(layer);
        return PyErr_NoMemory();
    }
    *layer = (pqc_integer_layer){
        .axes = axes, .format = format, .two_ended = two_ended, .memory = memory};
    Py_BEGIN_ALLOW_THREADS
    pqc_pack_weights(&layer->weights, shape, wide, memory, PyArray_DATA(weights),
                     PyArray_DATA(scale));
    Py_END_ALLOW_THREADS
    PyObject *capsule = PyCapsule_New(layer, capsule_name, packed_free);
    if (!capsule) {
        pqc_workspace_free(memory);
        PyMem_RawFree(layer);
    }
    return capsule;
}

/* Checks that converting the other arguments has not changed the weights. */
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
             "output_padding, num_bits, unsigned, narrow_range, two_ended=False, /)\n--\n\n"
             "Pack int8 or uint8 weights in the layer's own order for `integer_run`.  `scale`: one "
             "float32 for every output channel, by which the weights were multiplied.  The last "
             "four say how the input is quantised, 2 to 8 bits; `two_ended`: by a zero point.");

static PyObject *integer_pack(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_conv_shape shape = {0};
    pqc_int_format format;
    long groups;
    int axes;
    bool two_ended = false;
    PyObject *capsule = NULL;
    (void)self;
    if (pqc_check_count("integer_pack", count, 12, 13) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    PyArrayObject *scale = NULL, *weights = get_weights(args[0], &axes, &shape.is_unsigned);
    if (!weights || pqc_get_bool(args[2], &shape.transposed) < 0 ||
        pqc_get_int(args[3], "groups", 1, INT32_MAX, &groups) < 0 ||
        get_axes(args + 4, axes, &shape) < 0 || pqc_get_int_format(args + 9, 2, 8, &format) < 0 ||
        (count > 12 && pqc_get_bool(args[12], &two_ended) < 0))
        goto done;
    scale = (PyArrayObject *)PyArray_FROMANY(args[1], NPY_FLOAT, 1, 1, PQC_PLAIN_ARRAY);
    if (scale && check_weights(weights, axes, shape.is_unsigned) == 0 &&
        set_channels(&shape, weights, axes, groups) == 0 && check_scale(scale, &shape) == 0)
        capsule = new_packed(&shape, axes, format, two_ended, weights, scale);
done:
    pqc_restore_float_mode(mode);
    Py_XDECREF(weights);
    Py_XDECREF(scale);
    return capsule;
}

PyMethodDef pqc_pack_methods[] = {
    {"integer_pack", (PyCFunction)(void (*)(void))integer_pack, METH_FASTCALL, integer_pack_doc},
    {NULL, NULL, 0, NULL},
};
