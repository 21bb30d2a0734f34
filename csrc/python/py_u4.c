/* Linear layers with 4-bit weights: int4_pack, int4_unpack, int4_run and int4_call. */
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "guards.h"
#include "integer_layer.h"
#include "linear_u4.h"
#include "output_memory.h"
#include "pack_u8/pack_u8.h"
#include "unchanged.h"
#include "workspace.h"

enum { ARGUMENTS = 16 };

enum { MAX_SIDE = 1 << 24, MAX_IN = 1 << 19 }; /* so that 255 * 15 * MAX_IN fits in 31 bits */

static int check_size(PyArrayObject *array, const char *name, ptrdiff_t wanted)
{
    if (!array || PyArray_SIZE(array) == wanted)
        return 0;
    PyErr_Format(PyExc_ValueError, "Expected `%s` to have %zd elements, got %zd", name,
                 (Py_ssize_t)wanted, (Py_ssize_t)PyArray_SIZE(array));
    return -1;
}

static int get_length(PyObject *object, pqc_u4_weights *w)
{
    long length;
    if (pqc_get_int(object, "length", PQC_U4_KR, MAX_IN, &length) < 0)
        return -1;
    w->length = length;
    if (length % PQC_U4_KR == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "Expected `length` to be a multiple of 8, got %ld", length);
    return -1;
}

static int set_sides(pqc_u4_weights *w, ptrdiff_t out, ptrdiff_t in)
{
    w->out = out;
    w->in = in;
    w->groups = pqc_div_round_up(in, w->length);
    if (0 < out && out <= MAX_SIDE && 0 < in && in <= MAX_IN)
        return 0;
    PyErr_Format(PyExc_ValueError, "Expected from 1 to %d outputs and %d inputs, got %zd and %zd",
                 MAX_SIDE, MAX_IN, (Py_ssize_t)out, (Py_ssize_t)in);
    return -1;
}

/* Reads out, in and the length of a group from args. */
static int get_shape(PyObject *const *args, pqc_u4_weights *w)
{
    long out, in;
    if (pqc_get_int(args[0], "out", 1, MAX_SIDE, &out) < 0 ||
        pqc_get_int(args[1], "in_", 1, MAX_IN, &in) < 0 || get_length(args[2], w) < 0)
        return -1;
    return set_sides(w, out, in);
}

static ptrdiff_t bytes_of(const pqc_u4_weights *w)
{
    return pqc_u4_panels(w->out) * pqc_u4_panel_bytes(w->groups, w->length);
}

/* A cache-line aligned byte array: a view of an array that is one line longer. */
static PyArrayObject *new_bytes(npy_intp bytes)
{
    npy_intp padded = bytes + 64;
    PyArrayObject *whole = (PyArrayObject *)PyArray_SimpleNew(1, &padded, NPY_UINT8);
    if (!whole)
        return NULL;
    char *data = PyArray_DATA(whole);
    data += pqc_bytes_to(data, 64);
    PyArrayObject *part = (PyArrayObject *)PyArray_New(&PyArray_Type, 1, &bytes, NPY_UINT8, NULL,
                                                       data, 0, NPY_ARRAY_CARRAY, NULL);
    if (part && PyArray_SetBaseObject(part, (PyObject *)whole) == 0)
        return part;
    if (!part)
        Py_DECREF(whole);
    Py_XDECREF(part);
    return NULL;
}

PyDoc_STRVAR(
    int4_pack_doc,
    "int4_pack(codes, scale, length, /)\n--\n\n"
    "Panels of 4-bit weights for `int4_run`, as bytes, the same on every instruction set.  "
    "codes: uint8 of 0 to 15, (out, in); scale: float32, (out, groups), what a code counts.");

static PyObject *int4_pack(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_u4_weights w = {.in = 1, .out = 1};
    PyArrayObject *panels = NULL, *scale = NULL, *codes = NULL;
    (void)self;
    if (pqc_check_count("int4_pack", count, 3, 3) < 0 || get_length(args[2], &w) < 0)
        return NULL;
    codes = pqc_plain_array(args[0], "codes", NPY_UINT8, 2);
    scale = codes ? pqc_plain_array(args[1], "scale", NPY_FLOAT, 2) : NULL;
    if (!scale || set_sides(&w, PyArray_DIM(codes, 0), PyArray_DIM(codes, 1)) < 0 ||
        check_size(scale, "scale", w.out * w.groups) < 0)
        goto done;
    panels = new_bytes(bytes_of(&w));
    if (panels) {
        PyThreadState *state = pqc_release_gil(w.out * w.in);
        pqc_u4_pack(&w, PyArray_DATA(codes), PyArray_DATA(scale), PyArray_DATA(panels));
        pqc_acquire_gil(state);
    }
done:
    Py_XDECREF(codes);
    Py_XDECREF(scale);
    return (PyObject *)panels;
}

PyDoc_STRVAR(int4_unpack_doc, "int4_unpack(panels, out, in_, length, /)\n--\n\n"
                              "The codes and scales that `int4_pack` was given.");

static PyObject *int4_unpack(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_u4_weights w = {0};
    PyArrayObject *codes = NULL, *scale = NULL, *panels = NULL;
    PyObject *both = NULL;
    (void)self;
    if (pqc_check_count("int4_unpack", count, 4, 4) < 0 || get_shape(args + 1, &w) < 0)
        return NULL;
    panels = pqc_plain_array(args[0], "panels", NPY_UINT8, 1);
    if (!panels || check_size(panels, "panels", bytes_of(&w)) < 0)
        goto done;
    codes = (PyArrayObject *)PyArray_SimpleNew(2, ((npy_intp[]){w.out, w.in}), NPY_UINT8);
    scale = (PyArrayObject *)PyArray_SimpleNew(2, ((npy_intp[]){w.out, w.groups}), NPY_FLOAT);
    if (!codes || !scale)
        goto done;
    w.panels = PyArray_DATA(panels);
    PyThreadState *state = pqc_release_gil(w.out * w.in);
    pqc_u4_unpack(&w, PyArray_DATA(codes), PyArray_DATA(scale));
    pqc_acquire_gil(state);
    both = PyTuple_Pack(2, codes, scale);
done:
    Py_XDECREF(codes);
    Py_XDECREF(scale);
    Py_XDECREF(panels);
    return both;
}

/* The state of one call. */
typedef struct {
    pqc_u4_weights w;
    pqc_u4_call call;
    PyArrayObject *panels, *zeros, *weight_sums, *inverse; /* own what w points to */
    PyArrayObject *x, *amax, *bias, *y;
} run;

static int get_optional(PyObject *object, const char *name, int type, PyArrayObject **array)
{
    if (object == Py_None)
        return 0;
    *array = pqc_plain_array(object, name, type, 1);
    return *array ? 0 : -1;
}

/* Converts the arguments whose conversion may run the caller's code; arrays are read afterwards.  args: those of
 * int4_run. */
static int get_numbers(run *r, PyObject *const *args, Py_ssize_t count)
{
    pqc_u4_call *c = &r->call;
    long zero;
    if (pqc_get_int(args[4], "zero", 0, 15, &zero) < 0 || get_shape(args + 5, &r->w) < 0 ||
        pqc_get_bool(args[10], &c->by_row) < 0 ||
        (count > 15 && pqc_get_bool(args[15], &c->two_ended) < 0) ||
        pqc_get_int_format(args + 12, 2, 8, &c->format) < 0)
        return -1;
    if (c->two_ended && (c->by_row || args[9] == Py_None)) {
        PyErr_SetString(PyExc_ValueError,
                        "Expected `amax` to be a scale and a zero point, one for all rows");
        return -1;
    }
    r->w.zero = (int)zero;
    if (args[9] != Py_None && !(r->amax = pqc_number_array(args[9], "amax", false)))
        return -1;
    if (pqc_is_plain_float(args[8]))
        r->x = (PyArrayObject *)PyArray_FROM_OF(args[8], PQC_PLAIN_ARRAY);
    return PyErr_Occurred() ? -1 : 0;
}

static int get_arrays(run *r, PyObject *const *args)
{
    const pqc_u4_weights *w = &r->w;
    ptrdiff_t each = pqc_u4_panels(w->out) * w->groups * PQC_U4_NR;
    r->panels = pqc_plain_array(args[0], "panels", NPY_UINT8, 1);
    if (!r->panels || get_optional(args[1], "zeros", NPY_UINT8, &r->zeros) < 0 ||
        get_optional(args[2], "weight_sums", NPY_INT32, &r->weight_sums) < 0 ||
        get_optional(args[3], "inverse", NPY_DOUBLE, &r->inverse) < 0 ||
        get_optional(args[11], "bias", NPY_FLOAT, &r->bias) < 0)
        return -1;
    if (r->inverse && w->groups != 1) {
        PyErr_SetString(PyExc_ValueError, "Expected `inverse` to be None with several groups");
        return -1;
    }
    if ((r->call.format.is_unsigned || r->call.two_ended) && !r->weight_sums) {
        PyErr_SetString(PyExc_ValueError,
                        "Expected `weight_sums` with inputs that are unsigned or have a zero "
                        "point, got None");
        return -1;
    }
    return check_size(r->panels, "panels", bytes_of(w)) < 0 ||
                   check_size(r->zeros, "zeros", each) < 0 ||
                   check_size(r->weight_sums, "weight_sums", each) < 0 ||
                   check_size(r->inverse, "inverse", w->groups == 1 ? w->out : 0) < 0 ||
                   check_size(r->bias, "bias", w->out) < 0
               ? -1
               : 0;
}

static const void *data_of(PyArrayObject *array)
{
    return array ? PyArray_DATA(array) : NULL;
}

/* Sets the result's shape and the number of rows; or returns why integers cannot compute it. */
static const char *set_rows(run *r, npy_intp *shape)
{
    int ndim = PyArray_NDIM(r->x);
    if (ndim == 0)
        return "unexpected number of dimensions";
    for (int i = 0; i < ndim; i++)
        shape[i] = PyArray_DIM(r->x, i);
    if (shape[ndim - 1] != r->w.in)
        return "unexpected number of channels";
    r->call.rows = PyArray_SIZE(r->x) / r->w.in;
    shape[ndim - 1] = r->w.out;
    return r->call.rows == 0 ? "empty input" : NULL;
}

static const char *compute(run *r)
{
    pqc_u4_weights *w = &r->w;
    pqc_u4_call *c = &r->call;
    w->panels = data_of(r->panels);
    w->zeros = data_of(r->zeros);
    w->weight_sums = data_of(r->weight_sums);
    w->inverse = data_of(r->inverse);
    c->x = data_of(r->x);
    c->amax = c->two_ended ? NULL : data_of(r->amax);
    c->bias = data_of(r->bias);
    c->y = PyArray_DATA(r->y);
    PyThreadState *state = pqc_release_gil(c->rows * w->in * w->out / 16);
    unsigned flags = pqc_linear_u4_run(w, c);
    pqc_acquire_gil(state);
    return flags & PQC_U4_AMAX    ? "amax is negative or not finite"
           : flags & PQC_U4_SCALE ? "scales beyond the range of float32"
           : flags & PQC_U8_NAN   ? "NaN in the input"
           : flags                ? "negative input"
                                  : NULL;
}

static const char *compute_with_memory(run *r, const npy_intp *shape)
{
    const char *why = NULL;
    r->y = pqc_new_floats(PyArray_NDIM(r->x), shape);
    if (!r->y)
        return NULL;
    r->call.workspace = pqc_workspace_take(pqc_linear_u4_workspace(&r->w, r->call.rows));
    if (r->call.workspace)
        why = compute(r);
    else
        PyErr_NoMemory();
    pqc_workspace_give(r->call.workspace);
    return why;
}

static ptrdiff_t ranges_of(const pqc_u4_call *call)
{
    return call->two_ended ? 2 : call->by_row ? call->rows : 1;
}

/* Reads the zero point of an asymmetric range: a scale and the code of 0. */
static int get_zero_point(run *r)
{
    if (!r->call.two_ended)
        return 0;
    const float *pair = PyArray_DATA(r->amax);
    int levels = (1 << r->call.format.num_bits) - 1;
    if (!(pair[1] >= 0.0f && pair[1] <= (float)levels)) {
        PyErr_Format(PyExc_ValueError, "Expected a zero point from 0 to %d", levels);
        return -1;
    }
    r->call.scale = pair[0];
    r->call.x_zero = (int32_t)pair[1];
    return 0;
}

static PyObject *finished(run *r)
{
    npy_intp shape[NPY_MAXDIMS];
    const char *why = r->x ? set_rows(r, shape) : "the input is not a float32 array";
    if (!why && (check_size(r->amax, "amax", ranges_of(&r->call)) < 0 || get_zero_point(r) < 0))
        return NULL;
    if (!why)
        why = compute_with_memory(r, shape);
    if (why)
        return PyUnicode_FromString(why);
    return PyErr_Occurred() ? NULL : Py_NewRef((PyObject *)r->y);
}

static void clear(run *r)
{
    PyArrayObject *arrays[] = {r->panels, r->zeros, r->weight_sums, r->inverse,
                               r->x,      r->amax,  r->bias,        r->y};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        Py_XDECREF(arrays[i]);
}

PyDoc_STRVAR(
    int4_run_doc,
    "int4_run(panels, zeros, weight_sums, inverse, zero, out, in_, length, input, amax, "
    "by_row, bias, num_bits, unsigned, narrow_range, two_ended=False, /)\n--\n\n"
    "Rows of float32, quantised to bytes, by the weights of `int4_pack`; amax None: that of "
    "each row or of the whole input; `two_ended`: a scale and a zero point.  A string says why "
    "integers cannot give it.");

static PyObject *int4_run(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    run r = {0};
    PyObject *result = NULL;
    (void)self;
    if (pqc_check_count("int4_run", count, ARGUMENTS - 1, ARGUMENTS) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    if (get_numbers(&r, args, count) == 0 && get_arrays(&r, args) == 0)
        result = finished(&r);
    pqc_restore_float_mode(mode);
    clear(&r);
    return result;
}

/* Positions in the arguments of int4_run that vary from call to call. */
enum { INPUT = 8, AMAX = 9, BIAS = 11 };

/* Checks the arrays that guards compare by identity for what can change in place. */
static int is_as_before(PyObject *const *args, PyObject *input, long ndim, PyObject *proof)
{
    PyObject *amax = args[AMAX], *bias = args[BIAS];
    if (!pqc_is_plain_float(input) ||
        (ndim >= 0 && PyArray_NDIM((PyArrayObject *)input) != (int)ndim) ||
        (amax != Py_None && !(PyArray_Check(amax) && PyArray_SIZE((PyArrayObject *)amax) <= 2)))
        return 0;
    if (bias != Py_None && !(pqc_is_plain_float(bias) && PyArray_NDIM((PyArrayObject *)bias) == 1))
        return 0;
    return pqc_is_unchanged(proof);
}

static bool is_ready(PyObject *object)
{
    return PyTuple_Check(object) && PyTuple_GET_SIZE(object) == 4 &&
           PyTuple_Check(PyTuple_GET_ITEM(object, 0)) &&
           PyTuple_GET_SIZE(PyTuple_GET_ITEM(object, 0)) == ARGUMENTS;
}

PyDoc_STRVAR(int4_call_doc,
             "int4_call(ready, layer, input, /)\n--\n\n"
             "`int4_run` if nothing of the layer has changed that the tuple `ready` names (see "
             "integer/guards.py) and the input is a float32 array; else None.");

static PyObject *int4_call(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    long ndim;
    if (pqc_check_count("int4_call", count, 3, 3) < 0)
        return NULL;
    if (!is_ready(args[0])) {
        pqc_refuse(PyExc_TypeError, args[0],
                   "Expected `ready` to be (16 arguments, dimensions, proof, guards)");
        return NULL;
    }
    if (pqc_get_int(PyTuple_GET_ITEM(args[0], 1), "ready", -1, NPY_MAXDIMS, &ndim) < 0)
        return NULL;
    PyObject *given[ARGUMENTS], *arguments = PyTuple_GET_ITEM(args[0], 0);
    for (int i = 0; i < ARGUMENTS; i++)
        given[i] = i == INPUT ? args[2] : PyTuple_GET_ITEM(arguments, i);
    int as_before = pqc_guards_hold(PyTuple_GET_ITEM(args[0], 3), args[1]);
    if (as_before > 0)
        as_before = is_as_before(given, args[2], ndim, PyTuple_GET_ITEM(args[0], 2));
    if (as_before < 0)
        return NULL;
    if (!as_before)
        Py_RETURN_NONE;
    return int4_run(self, given, ARGUMENTS);
}

PyMethodDef pqc_u4_methods[] = {
    {"int4_pack", (PyCFunction)(void (*)(void))int4_pack, METH_FASTCALL, int4_pack_doc},
    {"int4_unpack", (PyCFunction)(void (*)(void))int4_unpack, METH_FASTCALL, int4_unpack_doc},
    {"int4_run", (PyCFunction)(void (*)(void))int4_run, METH_FASTCALL, int4_run_doc},
    {"int4_call", (PyCFunction)(void (*)(void))int4_call, METH_FASTCALL, int4_call_doc},
    {NULL, NULL, 0, NULL},
};
