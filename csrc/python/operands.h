/* An array and the amax that goes with it, laid out as the kernels want them. */
#ifndef PQC_OPERANDS_H
#define PQC_OPERANDS_H

#include "numpy_api.h"
#include "pqc.h"

/* Element i of x uses channel (i / inner) % channels of amax. */
typedef struct {
    PyArrayObject *x; /* of the shape that x and amax broadcast to */
    pqc_dtype dtype;  /* of x */
    ptrdiff_t n, channels, inner;
    const void *amax;      /* one value a channel: floats, or doubles if `is_double` */
    PyArrayObject *values; /* what amax points into, or NULL: into `number` */
    PyArrayObject *given_x, *given_amax; /* before they were stretched; or NULL */
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

/* Broadcasts `values` (float32, or float64) against o->x and points o->amax to it; o->x may grow.
 */
int pqc_operands_lay_out(pqc_operands *o, PyArrayObject *values, const char *x_name,
                         const char *amax_name);

#endif
