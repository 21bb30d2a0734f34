#include "e4m3.h"

#if PQC_ARM
#include <arm_neon.h>

/* FMAX and FMIN return NaN if an operand is NaN: NaN passes. */
static inline float32x4_t round_e4m3x4(float32x4_t v)
{
    v = vmaxq_f32(vdupq_n_f32(-PQC_E4M3_MAX), v);
    v = vminq_f32(vdupq_n_f32(PQC_E4M3_MAX), v);
    uint32x4_t bits = vreinterpretq_u32_f32(v);
    uint32x4_t exponent = vandq_u32(bits, vdupq_n_u32(PQC_E4M3_EXPONENT));
    exponent = vmaxq_u32(exponent, vdupq_n_u32(PQC_E4M3_NORMAL));
    float32x4_t magic = vreinterpretq_f32_u32(vaddq_u32(exponent, vdupq_n_u32(PQC_E4M3_MAGIC)));
    float32x4_t rounded = vsubq_f32(vaddq_f32(v, magic), magic);
    return vbslq_f32(vdupq_n_u32(0x80000000), v, rounded);
}

/* y, but +0 where |x| < 2^-24. */
static inline float32x4_t zero_tiny4(float32x4_t x, float32x4_t y)
{
    uint32x4_t tiny = vcaltq_f32(x, vdupq_n_f32(PQC_E4M3_ZERO));
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), tiny));
}

void pqc_e4m3_f32_neon(const float *x, float *y, ptrdiff_t n, pqc_e4m3 q)
{
    float32x4_t mul = vdupq_n_f32(q.mul), div = vdupq_n_f32(q.div);
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = vld1q_f32(x + i);
        vst1q_f32(y + i, zero_tiny4(v, vdivq_f32(round_e4m3x4(vmulq_f32(v, mul)), div)));
    }
    pqc_e4m3_f32_scalar(x + i, y + i, n - i, q);
}

void pqc_e4m3_each_f32_neon(const float *x, float *y, ptrdiff_t n, const float *mul,
                            const float *div)
{
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = vld1q_f32(x + i);
        float32x4_t rounded = round_e4m3x4(vmulq_f32(v, vld1q_f32(mul + i)));
        vst1q_f32(y + i, zero_tiny4(v, vdivq_f32(rounded, vld1q_f32(div + i))));
    }
    pqc_e4m3_each_f32_scalar(x + i, y + i, n - i, mul + i, div + i);
}

#endif
