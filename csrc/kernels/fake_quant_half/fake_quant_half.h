/* Fake quantisation of float16 and bfloat16 in one pass: the conversions of half/ around that of
 * int_quant/, in registers.
 *
 *   x, y  bit patterns, n each, any alignment; y may be x, no other overlap; n may be 0
 *   q     from pqc_int_quant_init
 * Computed in float32, rounded once.  Same bits from every ISA. */
#ifndef PQC_FAKE_QUANT_HALF_H
#define PQC_FAKE_QUANT_HALF_H

#include "quant_params/quant_params.h"

typedef void pqc_fake_quant_half_fn(const uint16_t *x, uint16_t *y, ptrdiff_t n, pqc_int_quant q);

pqc_fake_quant_half_fn pqc_fake_quant_f16_scalar, pqc_fake_quant_f16_avx2,
    pqc_fake_quant_f16_avx512, pqc_fake_quant_f16_neon;
pqc_fake_quant_half_fn pqc_fake_quant_bf16_scalar, pqc_fake_quant_bf16_avx2,
    pqc_fake_quant_bf16_avx512, pqc_fake_quant_bf16_neon;

#endif
