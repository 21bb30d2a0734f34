/* float16 and bfloat16, as bit patterns, to float32 and back.
 *
 *   x, y  n elements each, any alignment, no overlap; n may be 0
 *
 * To 16 bits: rounded to nearest, ties to even, overflow to infinity, subnormals kept.  A NaN stays
 * a NaN of the same sign with the upper bits of its payload, and is quiet; only bf16_to_f32 leaves
 * a signalling NaN as it is.  Same bits from every ISA. */
#ifndef PQC_HALF_H
#define PQC_HALF_H

#include "pqc.h"

typedef void pqc_f16_to_f32_fn(const uint16_t *x, float *y, ptrdiff_t n);
typedef void pqc_f32_to_f16_fn(const float *x, uint16_t *y, ptrdiff_t n);
typedef void pqc_bf16_to_f32_fn(const uint16_t *x, float *y, ptrdiff_t n);
typedef void pqc_f32_to_bf16_fn(const float *x, uint16_t *y, ptrdiff_t n);

pqc_f16_to_f32_fn pqc_f16_to_f32_scalar, pqc_f16_to_f32_avx2, pqc_f16_to_f32_avx512,
    pqc_f16_to_f32_neon;
pqc_f32_to_f16_fn pqc_f32_to_f16_scalar, pqc_f32_to_f16_avx2, pqc_f32_to_f16_avx512,
    pqc_f32_to_f16_neon;
pqc_bf16_to_f32_fn pqc_bf16_to_f32_scalar, pqc_bf16_to_f32_avx2, pqc_bf16_to_f32_avx512,
    pqc_bf16_to_f32_neon;
pqc_f32_to_bf16_fn pqc_f32_to_bf16_scalar, pqc_f32_to_bf16_avx2, pqc_f32_to_bf16_avx512,
    pqc_f32_to_bf16_neon;

#endif
