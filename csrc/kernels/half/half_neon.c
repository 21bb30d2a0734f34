/* float16 and bfloat16 to float32 and back, with NEON; see half.h. */
#include "half.h"

#if PQC_ARM
#include "half_neon.h"

void pqc_f16_to_f32_neon(const uint16_t *x, float *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(x + i));
        vst1q_f32(y + i, vcvt_f32_f16(vget_low_f16(h)));
        vst1q_f32(y + i + 4, vcvt_high_f32_f16(h));
    }
    pqc_f16_to_f32_scalar(x + i, y + i, n - i);
}

void pqc_f32_to_f16_neon(const float *x, uint16_t *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        float16x4_t low = vcvt_f16_f32(vld1q_f32(x + i));
        float16x8_t h = vcvt_high_f16_f32(low, vld1q_f32(x + i + 4));
        vst1q_u16(y + i, vreinterpretq_u16_f16(h));
    }
    pqc_f32_to_f16_scalar(x + i, y + i, n - i);
}

void pqc_bf16_to_f32_neon(const uint16_t *x, float *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint16x8_t h = vld1q_u16(x + i);
        vst1q_f32(y + i, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)));
        vst1q_f32(y + i + 4, vreinterpretq_f32_u32(vshll_high_n_u16(h, 16)));
    }
    pqc_bf16_to_f32_scalar(x + i, y + i, n - i);
}

void pqc_f32_to_bf16_neon(const float *x, uint16_t *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint32x4_t a = to_bf16x4(vld1q_f32(x + i)), b = to_bf16x4(vld1q_f32(x + i + 4));
        vst1q_u16(y + i, vshrn_high_n_u32(vshrn_n_u32(a, 16), b, 16));
    }
    pqc_f32_to_bf16_scalar(x + i, y + i, n - i);
}

#endif
