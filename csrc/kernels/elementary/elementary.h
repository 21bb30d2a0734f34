/* Elementary functions of double arrays, by the C library. */
#ifndef PQC_ELEMENTARY_H
#define PQC_ELEMENTARY_H

#include "pqc.h"

/* y[i] = f(x[i]) for n elements; x and y do not overlap.  NaN stays NaN, infinities go to the limits.  The last digit is the C
 * library's. */
void pqc_erf_f64_scalar(const double *restrict x, double *restrict y, ptrdiff_t n);
void pqc_sigmoid_f64_scalar(const double *restrict x, double *restrict y, ptrdiff_t n);
void pqc_tanh_f64_scalar(const double *restrict x, double *restrict y, ptrdiff_t n);

#endif
