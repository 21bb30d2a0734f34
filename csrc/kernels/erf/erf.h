/* The error function, by the C library. */
#ifndef PQC_ERF_H
#define PQC_ERF_H

#include "pqc.h"

/* y[i] = erf(x[i]) for n elements; x and y do not overlap.  NaN stays NaN, infinities give -1 and
 * 1.  The last digit is the C library's. */
void pqc_erf_f32_scalar(const float *restrict x, float *restrict y, ptrdiff_t n);
void pqc_erf_f64_scalar(const double *restrict x, double *restrict y, ptrdiff_t n);

#endif
