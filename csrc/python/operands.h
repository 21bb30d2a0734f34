/* An array and its amax, laid out as the kernels need them. */
#ifndef PQC_OPERANDS_H
#define PQC_OPERANDS_H

#include "numpy_api.h"
#include "pqc.h"

/* Element i of x belongs to channel (i / inner) % channels of amax. */
typedef struct {
    PyArrayObject *x; /* broadcast to the common shape */
    pqc_dtype dtype;  /* of x */
    ptrdiff_t n, channels, inner;
    const void *amax;      /* one value per channel: doubles if `is_double`, else floats */
    PyArrayObject *values; /* owns amax; NULL if amax is `number` */
    PyArrayObject *given_x, *given_amax; /* as they were before broadcasting; or NULL */
    bool is_double;
    union {
        float f32;
        double f64;
    } number;
} pqc_operands;

/* Sets *o, which pqc_operands_clear must clear even after a failure.  amax is read as float32; as
 * float64 if x is float64 and amax a Python number or float64.  ValueError if the shapes do not
 * broadcast (naming both) or an amax is negative. */
int pqc_operands_init(pqc_operands *o, PyObject *x, PyObject *amax, const char *x_name,
                      const char *amax_name);
void pqc_operands_clear(pqc_operands *o);

/* Broadcasts `values` (float32 or float64) against o->x and sets o->amax; o->x may be broadcast too. */
int pqc_operands_lay_out(pqc_operands *o, PyArrayObject *values, const char *x_name,
                         const char *amax_name);

#endif
