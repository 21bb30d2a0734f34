/* Symmetric integer quantisation, and quantisation followed by dequantisation ("fake").
 *
 *     quantize    y[i] = clamp(rint(x[i] * mul), lo, hi)           still a float
 *     fake_quant  y[i] = clamp(rint(x[i] * mul), lo, hi) / div     correctly rounded
 *
 *   x, y  n elements each, any alignment; y may be x, no other overlap; n may be 0
 *   q     from pqc_int_quant_init; the `_each_` forms take a mul (and div) for every element, the
 *         bounds from q
 *
 * Ties to even.  NaN stays NaN, +-inf goes to the bounds, the sign of zero is kept.  Same bits from
 * every ISA.  `_stream` writes around the caches: for outputs that would not fit into them. */
#ifndef PQC_INT_QUANT_H
#define PQC_INT_QUANT_H

#include "quant_params/quant_params.h"

typedef void pqc_int_quant_f32_fn(const float *x, float *y, ptrdiff_t n, pqc_int_quant q);
typedef void pqc_int_quant_each_f32_fn(const float *x, float *y, ptrdiff_t n, const float *mul,
                                       const float *div, pqc_int_quant q);
typedef void pqc_int_quant_f64_fn(const double *x, double *y, ptrdiff_t n, pqc_int_quant_f64 q);

pqc_int_quant_f64_fn pqc_quantize_f64_scalar, pqc_fake_quant_f64_scalar;

pqc_int_quant_f32_fn pqc_quantize_f32_scalar, pqc_quantize_f32_avx2, pqc_quantize_f32_avx512,
    pqc_quantize_f32_neon;
pqc_int_quant_f32_fn pqc_fake_quant_f32_scalar, pqc_fake_quant_f32_avx2, pqc_fake_quant_f32_avx512,
    pqc_fake_quant_f32_neon;
pqc_int_quant_f32_fn pqc_fake_quant_stream_f32_avx2, pqc_fake_quant_stream_f32_avx512;
pqc_int_quant_each_f32_fn pqc_quantize_each_f32_scalar, pqc_quantize_each_f32_avx2,
    pqc_quantize_each_f32_avx512, pqc_quantize_each_f32_neon;
pqc_int_quant_each_f32_fn pqc_fake_quant_each_f32_scalar, pqc_fake_quant_each_f32_avx2,
    pqc_fake_quant_each_f32_avx512, pqc_fake_quant_each_f32_neon;

#endif
