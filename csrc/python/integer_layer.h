/* A layer on integers: what `integer_pack` makes, and one call of it. */
#ifndef PQC_INTEGER_LAYER_H
#define PQC_INTEGER_LAYER_H

#include "numpy_api.h"

#include "conv.h"

#include <stdatomic.h>

enum {
    PQC_PLAIN_ARRAY = NPY_ARRAY_CARRAY_RO |
                      NPY_ARRAY_ENSUREARRAY, /* not of a subclass, whose own code would run */
};

typedef struct {
    pqc_packed_weights weights;
    int axes;              /* of the layer: 0 for a linear one */
    pqc_int_format format; /* of the input */
    bool two_ended;        /* the input has a scale and a zero point instead of an amax */
    void *memory;
    atomic_uint calls;
} pqc_integer_layer;

/* What the capsule holds; NULL with an exception if it is another object. */
pqc_integer_layer *pqc_integer_layer_of(PyObject *capsule);

bool pqc_is_plain_float(PyObject *object);
bool pqc_is_bias(PyObject *object, const pqc_integer_layer *layer);

/* The layer on `input`, an object of any type; `amax` None: the range of the input itself, or `by_row` of each row; `bias` or
 * None.  A new array, a string that says why integers cannot give it, or NULL with an exception. */
PyObject *pqc_integer_layer_run(pqc_integer_layer *layer, PyObject *input, PyObject *amax,
                                PyObject *bias, bool by_row);

#endif
