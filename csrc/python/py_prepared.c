/* integer_call: runs a layer on integers if nothing that its prepared arguments depend on has changed. */
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "guards.h"
#include "integer_layer.h"
#include "unchanged.h"

/* The prepared arguments: packed weights, amax, bias, proof that the weight is unchanged, guards. */
typedef struct {
    PyObject *packed, *amax, *bias, *weight, *guards;
} ready;

static int get_ready(PyObject *object, ready *r)
{
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 5) {
        pqc_refuse(PyExc_TypeError, object, "Expected `ready` to be a tuple of 5");
        return -1;
    }
    *r = (ready){PyTuple_GET_ITEM(object, 0), PyTuple_GET_ITEM(object, 1),
                 PyTuple_GET_ITEM(object, 2), PyTuple_GET_ITEM(object, 3),
                 PyTuple_GET_ITEM(object, 4)};
    return 0;
}

/* Guards compare arrays by identity; this checks what can change in place. */
static int arrays_are_as_before(const ready *r, const pqc_integer_layer *layer)
{
    bool is_number = PyArray_Check(r->amax) &&
                     PyArray_SIZE((PyArrayObject *)r->amax) == (layer->two_ended ? 2 : 1);
    if (!(r->amax == Py_None || is_number) || !(r->bias == Py_None || pqc_is_bias(r->bias, layer)))
        return 0;
    return pqc_is_unchanged(r->weight);
}

PyDoc_STRVAR(integer_call_doc,
             "integer_call(ready, layer, input, /)\n--\n\n"
             "`integer_run` if nothing of the layer has changed that the tuple `ready` names (see "
             "integer/guards.py) and the input is a float32 array; else None.");

static PyObject *integer_call(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    ready given;
    (void)self;
    if (pqc_check_count("integer_call", count, 3, 3) < 0 || get_ready(args[0], &given) < 0)
        return NULL;
    pqc_integer_layer *layer = pqc_integer_layer_of(given.packed);
    int as_before = layer ? pqc_guards_hold(given.guards, args[1]) : -1;
    if (as_before > 0)
        as_before = pqc_is_plain_float(args[2]) ? arrays_are_as_before(&given, layer) : 0;
    if (as_before < 0)
        return NULL;
    if (!as_before)
        Py_RETURN_NONE;
    return pqc_integer_layer_run(layer, args[2], given.amax, given.bias, false);
}

PyMethodDef pqc_prepared_methods[] = {
    {"integer_call", (PyCFunction)(void (*)(void))integer_call, METH_FASTCALL, integer_call_doc},
    {NULL, NULL, 0, NULL},
};
