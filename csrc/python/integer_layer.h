/* The packed integer layer that `integer_pack` makes, and a call of it. */
#ifndef PQC_INTEGER_LAYER_H
#define PQC_INTEGER_LAYER_H

#include "numpy_api.h"

#include "conv.h"

#include <stdatomic.h>

enum {
    PQC_PLAIN_ARRAY =
        NPY_ARRAY_CARRAY_RO | NPY_ARRAY_ENSUREARRAY, /* no subclass, whose own code would run */
};

typedef struct {
    pqc_packed_weights weights;
    int axes;              /* convolved axes; 0 for a linear layer */
    pqc_int_format format; /* of the inputs */
    bool two_ended;        /* inputs have a scale and a zero point instead of an amax */
    void *memory;
    atomic_uint calls;
} pqc_integer_layer;

/* The layer in a capsule; NULL with an exception for any other object. */
pqc_integer_layer *pqc_integer_layer_of(PyObject *capsule);

bool pqc_is_plain_float(PyObject *object);
bool pqc_is_bias(PyObject *object, const pqc_integer_layer *layer);

/* Runs the layer on `input`, an object of any type.  `amax` None: taken from the input, or `by_row` from each row;
 * `bias` may be None.  Returns a new array, a string saying why integers cannot compute it, or NULL with an
 * exception. */
PyObject *pqc_integer_layer_run(pqc_integer_layer *layer, PyObject *input, PyObject *amax,
                                PyObject *bias, bool by_row);

#endif
