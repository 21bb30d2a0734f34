/* bfloat16 conversions in NEON registers; float16 has instructions of its own. */
#ifndef PQC_HALF_NEON_H
#define PQC_HALF_NEON_H

#include <arm_neon.h>

/* Rounds to bfloat16, in the high half of every lane. */
static inline uint32x4_t to_bf16x4(float32x4_t x)
{
    uint32x4_t bits = vreinterpretq_u32_f32(x);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    return vbslq_u32(vceqq_f32(x, x), rounded, vorrq_u32(bits, vdupq_n_u32(0x400000)));
}

#endif
