/* Gradient of a quantiser by the straight-through estimator, clipped at amax.
 *
 *     y[i] = |x[i]| <= amax ? grad[i] : +0
 *
 *   x, grad, y  n elements each, any alignment; y may be x or grad, no other overlap; n may be 0
 *   amax        the limit; the `_each_` form takes one for every element
 * A NaN in x or amax gives 0; grad passes with its bits, NaN too.  Same bits from every ISA. */
#ifndef PQC_STE_H
#define PQC_STE_H

#include "pqc.h"

typedef void pqc_ste_f32_fn(const float *x, const float *grad, float *y, ptrdiff_t n, float amax);
typedef void pqc_ste_each_f32_fn(const float *x, const float *grad, float *y, ptrdiff_t n,
                                 const float *amax);
typedef void pqc_ste_f64_fn(const double *x, const double *grad, double *y, ptrdiff_t n,
                            double amax);

pqc_ste_f64_fn pqc_ste_f64_scalar;

pqc_ste_f32_fn pqc_ste_f32_scalar, pqc_ste_f32_avx2, pqc_ste_f32_avx512, pqc_ste_f32_neon;
pqc_ste_each_f32_fn pqc_ste_each_f32_scalar, pqc_ste_each_f32_avx2, pqc_ste_each_f32_avx512,
    pqc_ste_each_f32_neon;

#endif
