/* Largest magnitude (in all, or a running one per element) and minimum of float32, with NEON; see amax.h. */
#include "amax.h"

#if PQC_ARM
#include "bits.h"

#include <arm_neon.h>
#include <math.h>

static inline uint32x4_t magnitude4(const float *x)
{
    return vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x)));
}

float pqc_amax_f32_neon(const float *x, ptrdiff_t n)
{
    uint32x4_t a = vdupq_n_u32(0), b = a, c = a, d = a;
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        a = vmaxq_u32(a, magnitude4(x + i));
        b = vmaxq_u32(b, magnitude4(x + i + 4));
        c = vmaxq_u32(c, magnitude4(x + i + 8));
        d = vmaxq_u32(d, magnitude4(x + i + 12));
    }
    uint32_t most = vmaxvq_u32(vmaxq_u32(vmaxq_u32(a, b), vmaxq_u32(c, d)));
    uint32_t rest = pqc_bits_of(pqc_amax_f32_scalar(x + i, n - i));
    return pqc_float_of(most > rest ? most : rest);
}

void pqc_amax_each_f32_neon(const float *x, float *acc, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint32x4_t most = vmaxq_u32(magnitude4(acc + i), magnitude4(x + i));
        vst1q_f32(acc + i, vreinterpretq_f32_u32(most));
    }
    pqc_amax_each_f32_scalar(x + i, acc + i, n - i);
}

/* FMIN returns NaN if an operand is NaN: no NaN is lost. */
float pqc_min_f32_neon(const float *x, ptrdiff_t n)
{
    float32x4_t a = vdupq_n_f32(INFINITY), b = a, c = a, d = a;
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        a = vminq_f32(a, vld1q_f32(x + i));
        b = vminq_f32(b, vld1q_f32(x + i + 4));
        c = vminq_f32(c, vld1q_f32(x + i + 8));
        d = vminq_f32(d, vld1q_f32(x + i + 12));
    }
    float least = vminvq_f32(vminq_f32(vminq_f32(a, b), vminq_f32(c, d)));
    float rest = pqc_min_f32_scalar(x + i, n - i);
    if (least != least || rest != rest)
        return NAN;
    return (least < rest ? least : rest) + 0.0f;
}

#endif
