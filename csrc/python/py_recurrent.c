/* recurrent, program_states and float_panels: recurrent layers over whole sequences. */
#include "recurrent.h"
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "integer_layer.h"
#include "output_memory.h"
#include "program_capsules.h"
#include "workspace.h"

#include <math.h>

enum { MAX_UNITS = 1 << 24 };

static const char *const cells[PQC_CELLS] = {"LSTM", "GRU", "GRU_RESET_FIRST", "LSTM_PROJECTED"};

/* The state of one call. */
typedef struct {
    pqc_recurrent r;
    PyArrayObject *ahead, *h, *c, *sizes, *y;
    PyArrayObject *arrays[PQC_MAX_DIRECTIONS][PQC_STATE_PRODUCTS][2]; /* float weights, bias */
    float amax[PQC_MAX_DIRECTIONS][PQC_STATE_PRODUCTS];
    pqc_int_format format[PQC_MAX_DIRECTIONS][PQC_STATE_PRODUCTS];
    bool by_direction;
} call;

PyDoc_STRVAR(float_panels_doc,
             "float_panels(weight, /)\n--\n\nA float32 matrix (outputs, inputs) as `recurrent` "
             "multiplies by it.");

static PyObject *float_panels(PyObject *self, PyObject *object)
{
    PyArrayObject *weight = pqc_plain_array(object, "weight", NPY_FLOAT, 2), *made = NULL;
    (void)self;
    if (!weight)
        return NULL;
    npy_intp out = PyArray_DIM(weight, 0), in = PyArray_DIM(weight, 1);
    if (out < 1 || in < 1 || out > MAX_UNITS || in > MAX_UNITS) {
        PyErr_Format(PyExc_ValueError, "Expected `weight` with sides from 1 to %d", MAX_UNITS);
    } else {
        npy_intp shape = pqc_float_panels(out, in);
        made = pqc_new_floats(1, &shape);
        if (made)
            pqc_pack_float_panels(PyArray_DATA(weight), out, in, PyArray_DATA(made));
    }
    Py_DECREF(weight);
    return (PyObject *)made;
}

/* Reads a linear layer's packed weights, or float panels; checks them against `in` and `out`. */
static int get_weights(PyObject *object, call *a, int d, int i)
{
    pqc_state_product *p = &a->r.product[d][i];
    if (!PyCapsule_CheckExact(object)) {
        a->arrays[d][i][0] = pqc_plain_array(object, "products", NPY_FLOAT, 1);
        return a->arrays[d][i][0] ? 0 : -1;
    }
    pqc_integer_layer *layer = pqc_integer_layer_of(object);
    if (!layer)
        return -1;
    if (layer->axes != 0 || layer->two_ended || layer->weights.shape.in != p->in ||
        layer->weights.shape.out != p->out) {
        PyErr_Format(PyExc_ValueError, "Expected `products` of %zd by %zd without a zero point",
                     p->out, p->in);
        return -1;
    }
    p->integers = &layer->weights;
    a->format[d][i] = layer->format;
    return 0;
}

/* (weights, amax or None, bias or None) */
static int get_product(PyObject *triple, call *a, int d, int i)
{
    if (!PyTuple_Check(triple) || PyTuple_GET_SIZE(triple) != 3) {
        pqc_refuse(PyExc_TypeError, triple,
                   "Expected each of `products` to be (weights, amax, bias)");
        return -1;
    }
    if (get_weights(PyTuple_GET_ITEM(triple, 0), a, d, i) < 0)
        return -1;
    if (a->r.product[d][i].integers) {
        double amax = PyFloat_AsDouble(PyTuple_GET_ITEM(triple, 1));
        if (amax == -1.0 && PyErr_Occurred())
            return -1;
        a->amax[d][i] = (float)amax;
    }
    if (PyTuple_GET_ITEM(triple, 2) == Py_None)
        return 0;
    a->arrays[d][i][1] = pqc_plain_array(PyTuple_GET_ITEM(triple, 2), "products", NPY_FLOAT, 1);
    return a->arrays[d][i][1] ? 0 : -1;
}

/* Sets `in` and `out` of a direction's product i. */
static void set_sides(const pqc_recurrent *r, pqc_state_product *p, int i)
{
    bool projection = r->cell == PQC_LSTM_PROJECTED && i == 1;
    p->in = projection ? r->hidden : r->state;
    p->out = projection                       ? r->state
             : r->cell == PQC_GRU_RESET_FIRST ? r->hidden * (i == 0 ? 2 : 1)
                                              : r->hidden * pqc_cell_gates(r->cell);
}

static int get_products(PyObject *tuple, call *a)
{
    pqc_recurrent *r = &a->r;
    int each = pqc_cell_products(r->cell);
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != r->directions * each) {
        pqc_refuse(PyExc_TypeError, tuple, "Expected `products` to be a tuple of %zd",
                   r->directions * each);
        return -1;
    }
    for (int n = 0; n < r->directions * each; n++) {
        pqc_state_product *p = &r->product[n / each][n % each];
        set_sides(r, p, n % each);
        if (get_product(PyTuple_GET_ITEM(tuple, n), a, n / each, n % each) < 0)
            return -1;
    }
    return 0;
}

static int refuse(const char *what)
{
    PyErr_Format(PyExc_ValueError, "Expected arrays of a recurrent layer that fit together: %s",
                 what);
    return -1;
}

/* The rows per step, which must never grow, must add up to all rows. */
static int check_sizes(call *a)
{
    pqc_recurrent *r = &a->r;
    if (!a->sizes) {
        if (r->batch < 1 || r->rows % r->batch != 0)
            return refuse("`ahead` has no whole number of steps");
        r->steps = r->rows / r->batch;
        return 0;
    }
    ptrdiff_t left = r->rows, last = r->batch;
    r->sizes = PyArray_DATA(a->sizes);
    r->steps = PyArray_SIZE(a->sizes);
    for (ptrdiff_t i = 0; i < r->steps; i++) {
        if (r->sizes[i] < 1 || r->sizes[i] > last || r->sizes[i] > left)
            return refuse("`sizes` grow or are too many");
        last = (ptrdiff_t)r->sizes[i];
        left -= last;
    }
    return left == 0 ? 0 : refuse("`sizes` do not add up to the rows");
}

static int check_products(call *a)
{
    for (int d = 0; d < a->r.directions; d++)
        for (int i = 0; i < PQC_STATE_PRODUCTS; i++) {
            pqc_state_product *p = &a->r.product[d][i];
            PyArrayObject *weights = a->arrays[d][i][0], *bias = a->arrays[d][i][1];
            if ((weights && (pqc_check_unchanged(weights, "products", NPY_FLOAT) < 0 ||
                             PyArray_SIZE(weights) != pqc_float_panels(p->out, p->in))) ||
                (bias && (pqc_check_unchanged(bias, "products", NPY_FLOAT) < 0 ||
                          PyArray_SIZE(bias) != p->out)))
                return PyErr_Occurred() ? -1 : refuse("`products` of other sizes");
            p->floats = weights ? PyArray_DATA(weights) : NULL;
            p->bias = bias ? PyArray_DATA(bias) : NULL;
        }
    return 0;
}

/* Checks the arrays after every argument has been converted. */
static int check_arrays(call *a)
{
    pqc_recurrent *r = &a->r;
    if (pqc_check_unchanged(a->ahead, "ahead", NPY_FLOAT) < 0)
        return -1;
    if ((pqc_cell_gates(r->cell) == 4) != (a->c != NULL) ||
        (a->c && PyArray_SIZE(a->c) != r->directions * r->batch * r->hidden))
        return refuse("`h` and `c` are the states of other cells");
    if (PyArray_NDIM(a->ahead) != 2 ||
        PyArray_DIM(a->ahead, 1) != r->directions * pqc_cell_gates(r->cell) * r->hidden)
        return refuse("`ahead` has the gates of other cells");
    r->rows = PyArray_DIM(a->ahead, 0);
    return check_sizes(a) < 0 || check_products(a) < 0 ? -1 : 0;
}

/* Sets how states are quantised; or returns why integers cannot compute it. */
static const char *set_quants(call *a)
{
    for (int d = 0; d < a->r.directions; d++)
        for (int i = 0; i < PQC_STATE_PRODUCTS; i++) {
            pqc_state_product *p = &a->r.product[d][i];
            if (!p->integers)
                continue;
            if (!isfinite(a->amax[d][i]) || a->amax[d][i] < 0)
                return "amax is negative or not finite";
            pqc_int_quant q = pqc_int_quant_init(a->amax[d][i], a->format[d][i]);
            if (!isfinite(q.mul) || !pqc_conv_scale_is_safe(p->integers, q.div))
                return "scales beyond the range of float32";
            p->q = pqc_u8_quant_of(q, a->format[d][i]);
            p->div = q.div;
        }
    return NULL;
}

/* Allocates the outputs, (steps, directions, batch, hidden) or (rows, directions * hidden).  The states become the
 * final ones. */
static int make_results(call *a)
{
    pqc_recurrent *r = &a->r;
    npy_intp flat[2] = {r->rows, r->directions * r->state};
    npy_intp apart[4] = {r->steps, r->directions, r->batch, r->state};
    a->y = a->by_direction ? pqc_new_floats(4, apart) : pqc_new_floats(2, flat);
    if (!a->y)
        return -1;
    r->ahead = PyArray_DATA(a->ahead);
    r->h = PyArray_DATA(a->h);
    r->c = a->c ? PyArray_DATA(a->c) : NULL;
    r->y = PyArray_DATA(a->y);
    r->y_direction = a->by_direction ? r->batch * r->state : r->state;
    r->y_row = a->by_direction ? r->state : r->directions * r->state;
    return 0;
}

static PyObject *finished(call *a)
{
    pqc_recurrent *r = &a->r;
    const char *why = set_quants(a);
    if (why)
        return PyUnicode_FromString(why);
    if (make_results(a) < 0)
        return NULL;
    r->workspace = pqc_workspace_take(pqc_recurrent_workspace(r));
    if (!r->workspace)
        return PyErr_NoMemory();
    PyThreadState *state = pqc_release_gil(r->rows * r->hidden * 16);
    unsigned flags = pqc_recurrent_run(r);
    pqc_acquire_gil(state);
    pqc_workspace_give(r->workspace);
    if (flags)
        return PyUnicode_FromString(flags & PQC_U8_NAN ? "NaN in a state" : "a negative state");
    return a->c ? PyTuple_Pack(3, a->y, a->h, a->c) : PyTuple_Pack(2, a->y, a->h);
}

static int get_cell(PyObject *object, pqc_recurrent *r)
{
    for (int i = 0; PyUnicode_Check(object) && i < PQC_CELLS; i++)
        if (PyUnicode_CompareWithASCIIString(object, cells[i]) == 0) {
            r->cell = (pqc_cell)i;
            return 0;
        }
    pqc_refuse(PyExc_ValueError, object,
               "Expected `cell` to be LSTM, GRU, GRU_RESET_FIRST or LSTM_PROJECTED");
    return -1;
}

/* A private copy of a plain array, which other arguments and threads cannot change. */
static PyArrayObject *own_copy(PyObject *object, const char *name, int type, int ndim)
{
    PyArrayObject *given = pqc_plain_array(object, name, type, ndim), *made = NULL;
    if (given)
        made = pqc_new_array(PyArray_DescrFromType(type), ndim, PyArray_DIMS(given));
    if (made)
        memcpy(PyArray_DATA(made), PyArray_DATA(given), (size_t)PyArray_NBYTES(made));
    Py_XDECREF(given);
    return made;
}

/* Checks the sizes against the states, after those have been converted. */
static int get_states(PyObject *h, PyObject *c, PyObject *sizes, call *a)
{
    pqc_recurrent *r = &a->r;
    if (!(a->h = own_copy(h, "h", NPY_FLOAT, 3)) ||
        (c != Py_None && !(a->c = own_copy(c, "c", NPY_FLOAT, 3))) ||
        (sizes != Py_None && !(a->sizes = own_copy(sizes, "sizes", NPY_INT64, 1))))
        return -1;
    r->directions = PyArray_DIM(a->h, 0);
    r->batch = PyArray_DIM(a->h, 1);
    r->state = PyArray_DIM(a->h, 2);
    r->hidden = r->cell == PQC_LSTM_PROJECTED && a->c ? PyArray_DIM(a->c, 2) : r->state;
    if (r->directions >= 1 && r->directions <= PQC_MAX_DIRECTIONS && r->batch >= 1 &&
        r->state >= 1 && r->state <= MAX_UNITS && r->hidden >= 1 && r->hidden <= MAX_UNITS)
        return 0;
    return refuse("`h` has to be (1 or 2 directions, batch, hidden)");
}

static void clear(call *a)
{
    Py_XDECREF(a->ahead);
    Py_XDECREF(a->h);
    Py_XDECREF(a->c);
    Py_XDECREF(a->sizes);
    Py_XDECREF(a->y);
    for (int i = 0; i < PQC_MAX_DIRECTIONS * PQC_STATE_PRODUCTS * 2; i++)
        Py_XDECREF((&a->arrays[0][0][0])[i]);
}

PyDoc_STRVAR(
    recurrent_doc,
    "recurrent(cell, ahead, products, h, c, sizes, reverse, by_direction, /)\n--\n\n"
    "A layer of cells (\"LSTM\", \"GRU\", \"GRU_RESET_FIRST\", \"LSTM_PROJECTED\") over sequences: "
    "outputs and final states; or a sentence that says why integers cannot give them.\n\n"
    "`ahead`: the products of the input (rows, directions * gates * hidden).  `products`: of each "
    "direction (weights, amax, bias), weights of `integer_pack` or of `float_panels`; of "
    "GRU_RESET_FIRST two, gates and candidate, of LSTM_PROJECTED two, gates and projection.  `h`, "
    "`c`: (directions, batch, hidden), `h` of LSTM_PROJECTED as wide as its projection.  `sizes`: "
    "None or int64, rows of each step.  Outputs are (rows, directions * hidden), `by_direction` "
    "(steps, directions, batch, hidden).");

static PyObject *recurrent(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    call a = {.by_direction = false};
    PyObject *result = NULL;
    (void)self;
    if (pqc_check_count("recurrent", count, 8, 8) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    if (get_cell(args[0], &a.r) == 0 && get_states(args[3], args[4], args[5], &a) == 0 &&
        (a.ahead = pqc_plain_array(args[1], "ahead", NPY_FLOAT, 2)) &&
        get_products(args[2], &a) == 0 && pqc_get_bool(args[6], &a.r.reverse) == 0 &&
        pqc_get_bool(args[7], &a.by_direction) == 0 && check_arrays(&a) == 0) {
        if (a.by_direction && a.sizes)
            refuse("`sizes` and `by_direction`");
        else
            result = finished(&a);
    }
    pqc_restore_float_mode(mode);
    clear(&a);
    return result;
}

static const char states_name[] = "pytorch_quantization_c.program_states";

const pqc_recurrent *pqc_program_states_of(PyObject *capsule)
{
    call *a = PyCapsule_GetPointer(capsule, states_name);
    return a ? &a->r : NULL;
}

static void free_states(PyObject *capsule)
{
    call *a = PyCapsule_GetPointer(capsule, states_name);
    Py_XDECREF((PyObject *)PyCapsule_GetContext(capsule));
    if (a)
        clear(a);
    PyMem_RawFree(a);
}

/* The capsule owns `a` and the products, to whose packed weights it points. */
static PyObject *new_states(call *a, PyObject *products)
{
    const char *why = set_quants(a);
    if (why) {
        refuse(why);
        return NULL;
    }
    PyObject *capsule = PyCapsule_New(a, states_name, free_states);
    if (capsule)
        PyCapsule_SetContext(capsule, Py_NewRef(products));
    return capsule;
}

/* Replaces the caller's arrays by private copies. */
static int own_products(call *a)
{
    for (int i = 0; i < PQC_MAX_DIRECTIONS * PQC_STATE_PRODUCTS * 2; i++) {
        PyArrayObject **each = &a->arrays[0][0][0] + i;
        if (!*each)
            continue;
        PyArrayObject *copy = own_copy((PyObject *)*each, "products", NPY_FLOAT, 1);
        if (!copy)
            return -1;
        Py_SETREF(*each, copy);
    }
    return 0;
}

PyDoc_STRVAR(
    program_states_doc,
    "program_states(cell, products, directions, hidden, reverse, /)\n--\n\n"
    "What `program_plan` needs of a recurrent layer; `cell` and `products` as for `recurrent`.");

static PyObject *program_states(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    long directions, hidden;
    (void)self;
    if (pqc_check_count("program_states", count, 5, 5) < 0)
        return NULL;
    call *a = PyMem_RawCalloc(1, sizeof *a);
    if (!a)
        return PyErr_NoMemory();
    PyObject *result = NULL;
    if (get_cell(args[0], &a->r) == 0 &&
        pqc_get_int(args[2], "directions", 1, PQC_MAX_DIRECTIONS, &directions) == 0 &&
        pqc_get_int(args[3], "hidden", 1, MAX_UNITS, &hidden) == 0 &&
        pqc_get_bool(args[4], &a->r.reverse) == 0) {
        a->r.directions = directions;
        a->r.hidden = a->r.state = hidden;
        if (a->r.cell == PQC_LSTM_PROJECTED)
            refuse("projections are none of a program's");
        else if (get_products(args[1], a) == 0 && own_products(a) == 0 && check_products(a) == 0)
            result = new_states(a, args[1]);
    }
    if (!result) {
        clear(a);
        PyMem_RawFree(a);
    }
    return result;
}

PyMethodDef pqc_recurrent_methods[] = {
    {"program_states", (PyCFunction)(void (*)(void))program_states, METH_FASTCALL,
     program_states_doc},
    {"float_panels", float_panels, METH_O, float_panels_doc},
    {"recurrent", (PyCFunction)(void (*)(void))recurrent, METH_FASTCALL, recurrent_doc},
    {NULL, NULL, 0, NULL},
};
