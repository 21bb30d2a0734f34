/* erf and GELU of 4 floats, with the operations of elementary_scalar.h; coefficients are looked up as four bytes of a
 * row of 64. */
#ifndef PQC_ELEMENTARY_NEON_H
#define PQC_ELEMENTARY_NEON_H

#include "elementary_scalar.h"

#include <arm_neon.h>

PQC_INLINE float32x4_t coefficient4(int k, uint8x16_t at)
{
    uint8x16x4_t row = vld1q_u8_x4((const uint8_t *)pqc_erf_table[k]);
    return vreinterpretq_f32_u8(vqtbl4q_u8(row, at));
}

PQC_INLINE float32x4_t erf4(float32x4_t x)
{
    const float32x4_t round = vdupq_n_f32(0x1p23f), four = vdupq_n_f32(4.0f);
    float32x4_t a = vabsq_f32(x), near = vminq_f32(a, vdupq_n_f32(PQC_ERF_ONE));
    float32x4_t shifted = vfmaq_f32(round, near, four);
    float32x4_t t = vfmaq_f32(vsubq_f32(round, shifted), near, four);
    uint32x4_t i = vandq_u32(vreinterpretq_u32_f32(shifted), vdupq_n_u32(PQC_ERF_INTERVALS - 1));
    uint8x16_t at = vreinterpretq_u8_u32(vmlaq_n_u32(vdupq_n_u32(0x03020100), i, 0x04040404));
    float32x4_t p = coefficient4(PQC_ERF_DEGREE, at);
    for (int k = PQC_ERF_DEGREE - 1; k >= 0; k--)
        p = vfmaq_f32(coefficient4(k, at), p, t);
    p = vbslq_f32(vcltq_f32(a, vdupq_n_f32(PQC_ERF_SMALL)), vfmaq_f32(a, p, a), p);
    p = vbslq_f32(vcgeq_f32(a, vdupq_n_f32(PQC_ERF_ONE)), vdupq_n_f32(1.0f), p);
    return vbslq_f32(vdupq_n_u32(0x80000000), x, p);
}

PQC_INLINE float32x4_t gelu4(float32x4_t x)
{
    float32x4_t y = erf4(vmulq_n_f32(x, 0x1.6a09e6p-1f));
    y = vmulq_f32(vaddq_f32(y, vdupq_n_f32(1.0f)), x);
    return vmulq_n_f32(y, 0.5f);
}

#endif
