/* Fake quantisation of float16 and bfloat16, computed in float32, with NEON; see fake_quant_half.h. */
#include "fake_quant_half.h"

#if PQC_ARM
#include "half/half_neon.h"
#include "int_quant/int_quant_neon.h"

void pqc_fake_quant_f16_neon(const uint16_t *x, uint16_t *y, ptrdiff_t n, pqc_int_quant q)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(x + i));
        float32x4_t a = fake4(vcvt_f32_f16(vget_low_f16(h)), q), b = fake4(vcvt_high_f32_f16(h), q);
        vst1q_u16(y + i, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(a), b)));
    }
    pqc_fake_quant_f16_scalar(x + i, y + i, n - i, q);
}

void pqc_fake_quant_bf16_neon(const uint16_t *x, uint16_t *y, ptrdiff_t n, pqc_int_quant q)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint16x8_t h = vld1q_u16(x + i);
        uint32x4_t a = to_bf16x4(fake4(vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)), q));
        uint32x4_t b = to_bf16x4(fake4(vreinterpretq_f32_u32(vshll_high_n_u16(h, 16)), q));
        vst1q_u16(y + i, vshrn_high_n_u32(vshrn_n_u32(a, 16), b, 16));
    }
    pqc_fake_quant_bf16_scalar(x + i, y + i, n - i, q);
}

#endif
