/* The float32 output stage (requantize.h) of 4 sums, with NEON. */
#ifndef PQC_REQUANTIZE_NEON_H
#define PQC_REQUANTIZE_NEON_H

#include "requantize.h"

#if PQC_ARM
#include <arm_neon.h>

typedef struct {
    float32x4_t scale, bias;
} output4;

/* For 4 neighbouring channels. */
PQC_INLINE output4 output4_of_channels(const pqc_output_f32 *o, ptrdiff_t channel)
{
    return (output4){vld1q_f32(o->scale + channel), vld1q_f32(o->bias + channel)};
}

/* For 4 pixels of one channel. */
PQC_INLINE output4 output4_of_channel(const pqc_output_f32 *o, ptrdiff_t channel)
{
    return (output4){vdupq_n_f32(o->scale[channel]), vdupq_n_f32(o->bias[channel])};
}

PQC_INLINE float32x4_t finish4(int32x4_t sums, output4 o)
{
    return vfmaq_f32(o.bias, vcvtq_f32_s32(sums), o.scale);
}

#endif
#endif
