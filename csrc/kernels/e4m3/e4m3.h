/* Rounding to float8 E4M3FN and back ("fake"): 4 bits of exponent, 3 of mantissa, 448 at most, no
 * infinities.
 *
 *     y[i] = |x[i]| < 2^-24 ? +0 : e4m3(x[i] * mul) / div
 *
 *   x, y  n elements each, any alignment; y may be x, no other overlap; n may be 0
 *   q     from pqc_e4m3_init, or {1, 1}; the `_each_` form takes a mul and a div for every element
 *
 * e4m3 rounds to nearest, ties to even, subnormals (steps of 2^-9) included, and saturates at 448,
 * infinities too; the sign of zero is kept.  NaN stays NaN; so does a NaN that x * mul or the
 * division makes.  The division is a division, correctly rounded.  Same bits from every ISA. */
#ifndef PQC_E4M3_H
#define PQC_E4M3_H

#include "quant_params/quant_params.h"

typedef void pqc_e4m3_f32_fn(const float *x, float *y, ptrdiff_t n, pqc_e4m3 q);
typedef void pqc_e4m3_each_f32_fn(const float *x, float *y, ptrdiff_t n, const float *mul,
                                  const float *div);
typedef void pqc_e4m3_f64_fn(const double *x, double *y, ptrdiff_t n, pqc_e4m3_f64 q);

pqc_e4m3_f64_fn pqc_e4m3_f64_scalar;

pqc_e4m3_f32_fn pqc_e4m3_f32_scalar, pqc_e4m3_f32_avx2, pqc_e4m3_f32_avx512, pqc_e4m3_f32_neon;
pqc_e4m3_each_f32_fn pqc_e4m3_each_f32_scalar, pqc_e4m3_each_f32_avx2, pqc_e4m3_each_f32_avx512,
    pqc_e4m3_each_f32_neon;

/* Adding 1.5 * 2^(e + 20) to a float32 of exponent e, and subtracting it again, leaves 3 bits after
 * the first.  e is at least -6, where E4M3's subnormals begin.  The exponent bits of the number, at
 * least those of 2^-6, plus PQC_E4M3_MAGIC are that sum's second term; NaN makes it a harmless
 * number. */
enum {
    PQC_E4M3_EXPONENT = 0x7f800000,
    PQC_E4M3_NORMAL = (127 - 6) << 23,
    PQC_E4M3_MAGIC = (20 << 23) + (1 << 22),
};
#define PQC_E4M3_MAX 448.0f
#define PQC_E4M3_ZERO 0x1p-24f

#endif
