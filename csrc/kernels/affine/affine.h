/* Affine ("gemmlowp") fake quantisation, as the original's FakeAffineTensorQuantFunction has it.
 *
 *     y[i] = (clamp(rint(x[i] / step) - zero, lo, hi) + zero) * step
 *
 *   x, y  n elements each; y may be x, no other overlap; n may be 0
 *   p     from pqc_affine_init
 * Ties to even, NaN stays NaN.  Same bits from every ISA. */
#ifndef PQC_AFFINE_H
#define PQC_AFFINE_H

#include "pqc.h"

typedef struct {
    float step, zero, lo, hi;
} pqc_affine;

typedef struct {
    double step, zero, lo, hi;
} pqc_affine_f64;

/* step = (max - min) / (2^bits - 1); zero = rint(min / step) + 2^(bits-1); lo, hi = -2^(bits-1),
 * 2^(bits-1) - 1. */
pqc_affine pqc_affine_init(float min, float max, int num_bits);
pqc_affine_f64 pqc_affine_init_f64(double min, double max, int num_bits);

typedef void pqc_affine_f32_fn(const float *x, float *y, ptrdiff_t n, pqc_affine p);
typedef void pqc_affine_f64_fn(const double *x, double *y, ptrdiff_t n, pqc_affine_f64 p);

pqc_affine_f32_fn pqc_affine_f32_scalar, pqc_affine_f32_avx2;
pqc_affine_f64_fn pqc_affine_f64_scalar;

#endif
