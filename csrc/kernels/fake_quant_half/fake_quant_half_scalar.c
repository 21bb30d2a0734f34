/* Fake quantisation of float16 and bfloat16, computed in float32, in plain C; see fake_quant_half.h. */
#include "fake_quant_half.h"

#include "half/half.h"
#include "int_quant/int_quant.h"

static inline ptrdiff_t block_length(ptrdiff_t left)
{
    return left < PQC_BLOCK ? left : PQC_BLOCK;
}

void pqc_fake_quant_f16_scalar(const uint16_t *x, uint16_t *y, ptrdiff_t n, pqc_int_quant q)
{
    float wide[PQC_BLOCK];
    for (ptrdiff_t i = 0, length; i < n; i += length) {
        length = block_length(n - i);
        pqc_f16_to_f32_scalar(x + i, wide, length);
        pqc_fake_quant_f32_scalar(wide, wide, length, q);
        pqc_f32_to_f16_scalar(wide, y + i, length);
    }
}

void pqc_fake_quant_bf16_scalar(const uint16_t *x, uint16_t *y, ptrdiff_t n, pqc_int_quant q)
{
    float wide[PQC_BLOCK];
    for (ptrdiff_t i = 0, length; i < n; i += length) {
        length = block_length(n - i);
        pqc_bf16_to_f32_scalar(x + i, wide, length);
        pqc_fake_quant_f32_scalar(wide, wide, length, q);
        pqc_f32_to_bf16_scalar(wide, y + i, length);
    }
}
