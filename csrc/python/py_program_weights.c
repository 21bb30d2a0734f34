/* program_weights: packs the weights of one layer of a compiled program. */
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "program_capsules.h"
#include "winograd_weights.h"
#include "workspace.h"

#include <stdatomic.h>

static const char weights_name[] = "pytorch_quantization_c.program_weights";

typedef struct {
    pqc_weights weights;
    void *memory;
    _Atomic(int16_t *) winograd; /* NULL until a plan needs it */
} packed;

const pqc_weights *pqc_program_weights_of(PyObject *capsule)
{
    packed *p = PyCapsule_GetPointer(capsule, weights_name);
    return p ? &p->weights : NULL;
}

const int16_t *pqc_program_winograd_of(PyObject *capsule)
{
    packed *p = PyCapsule_GetPointer(capsule, weights_name);
    int16_t *had = p ? atomic_load(&p->winograd) : NULL;
    if (!p || had)
        return had;
    int16_t *made = pqc_workspace_allocate(pqc_winograd_weights_bytes(&p->weights));
    if (!made) {
        PyErr_NoMemory();
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    pqc_winograd_weights_pack(&p->weights, made);
    Py_END_ALLOW_THREADS
    if (atomic_compare_exchange_strong(&p->winograd, &had, made))
        return made;
    pqc_workspace_free(made); /* another plan was faster */
    return had;
}

static void free_weights(PyObject *capsule)
{
    packed *p = PyCapsule_GetPointer(capsule, weights_name);
    if (p) {
        pqc_workspace_free(p->memory);
        pqc_workspace_free(atomic_load(&p->winograd));
    }
    PyMem_RawFree(p);
}

/* Reads the shape of weights (groups * out, kh, kw, in). */
static int set_shape(pqc_weights_shape *s, PyArrayObject *weight, long groups)
{
    npy_intp rows = PyArray_DIM(weight, 0);
    s->groups = groups;
    s->out = rows / groups;
    s->kh = PyArray_DIM(weight, 1);
    s->kw = PyArray_DIM(weight, 2);
    s->in = PyArray_DIM(weight, 3);
    const char *why = rows % groups ? "channels that groups do not divide" : pqc_weights_check(s);
    if (why)
        PyErr_Format(PyExc_ValueError, "Expected weights of a convolution, got %s", why);
    return why ? -1 : 0;
}

static PyObject *new_weights(const pqc_weights_shape *shape, PyArrayObject *weight,
                             PyArrayObject *scale, PyArrayObject *bias)
{
    npy_intp channels = PyArray_DIM(weight, 0);
    if (PyArray_SIZE(scale) != channels || PyArray_SIZE(bias) != channels) {
        PyErr_Format(PyExc_ValueError, "Expected `scale` and `bias` of %zd elements", channels);
        return NULL;
    }
    packed *p = PyMem_RawMalloc(sizeof *p);
    void *memory = p ? pqc_workspace_allocate(pqc_weights_bytes(shape)) : NULL;
    PyObject *capsule = memory ? PyCapsule_New(p, weights_name, free_weights) : PyErr_NoMemory();
    if (!capsule) {
        pqc_workspace_free(memory);
        PyMem_RawFree(p);
        return NULL;
    }
    p->memory = memory;
    atomic_init(&p->winograd, NULL);
    Py_BEGIN_ALLOW_THREADS
    pqc_weights_pack(&p->weights, shape, memory, PyArray_DATA(weight), PyArray_DATA(scale),
                     PyArray_DATA(bias));
    Py_END_ALLOW_THREADS
    return capsule;
}

PyDoc_STRVAR(program_weights_doc,
             "program_weights(weight, groups, depthwise, merged, zero, scale, bias, /)\n--\n\n"
             "Pack int8 weights (outputs, height, width, inputs of a group) for `program_plan`.  "
             "`zero`: the code of "
             "zero in the input.  `scale`, `bias`: float32, one for each output.");

static PyObject *program_weights(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_weights_shape shape = {0};
    PyArrayObject *weight = NULL, *scale = NULL, *bias = NULL;
    PyObject *result = NULL;
    long groups, zero;
    (void)self;
    if (pqc_check_count("program_weights", count, 7, 7) == 0 &&
        pqc_get_int(args[1], "groups", 1, INT32_MAX, &groups) == 0 &&
        pqc_get_bool(args[2], &shape.depthwise) == 0 && pqc_get_bool(args[3], &shape.merged) == 0 &&
        pqc_get_int(args[4], "zero", 0, 255, &zero) == 0 &&
        (weight = pqc_plain_array(args[0], "weight", NPY_INT8, 4)) &&
        (scale = pqc_plain_array(args[5], "scale", NPY_FLOAT, 1)) &&
        (bias = pqc_plain_array(args[6], "bias", NPY_FLOAT, 1)) &&
        set_shape(&shape, weight, groups) == 0) {
        shape.zero = (int32_t)zero;
        result = new_weights(&shape, weight, scale, bias);
    }
    Py_XDECREF(weight);
    Py_XDECREF(scale);
    Py_XDECREF(bias);
    return result;
}

PyMethodDef pqc_program_weights_methods[] = {
    {"program_weights", (PyCFunction)(void (*)(void))program_weights, METH_FASTCALL,
     program_weights_doc},
    {NULL, NULL, 0, NULL},
};
