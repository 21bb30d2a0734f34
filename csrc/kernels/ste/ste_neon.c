/* Straight-through gradient of a quantiser, clipped at amax, float32, with NEON; see ste.h. */
#include "ste.h"

#if PQC_ARM
#include <arm_neon.h>

/* FACLE would take the absolute value of amax as well. */
static inline float32x4_t pass4(float32x4_t x, float32x4_t grad, float32x4_t amax)
{
    uint32x4_t pass = vcleq_f32(vabsq_f32(x), amax);
    return vreinterpretq_f32_u32(vandq_u32(pass, vreinterpretq_u32_f32(grad)));
}

void pqc_ste_f32_neon(const float *x, const float *grad, float *y, ptrdiff_t n, float amax)
{
    float32x4_t limit = vdupq_n_f32(amax);
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, pass4(vld1q_f32(x + i), vld1q_f32(grad + i), limit));
    pqc_ste_f32_scalar(x + i, grad + i, y + i, n - i, amax);
}

void pqc_ste_each_f32_neon(const float *x, const float *grad, float *y, ptrdiff_t n,
                           const float *amax)
{
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, pass4(vld1q_f32(x + i), vld1q_f32(grad + i), vld1q_f32(amax + i)));
    pqc_ste_each_f32_scalar(x + i, grad + i, y + i, n - i, amax + i);
}

#endif
