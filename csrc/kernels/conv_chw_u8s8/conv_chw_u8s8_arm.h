/* Code shared by NEON with and without dot products.  The including file first defines `add_products`. */
#ifndef PQC_CONV_CHW_U8S8_ARM_H
#define PQC_CONV_CHW_U8S8_ARM_H

#include "requantize/requantize_neon.h"

#include <string.h>

enum { LANES = 4 };

/* The c4 blocks of 4 pixels from 16 bytes, as signed x - 128; `begin` adds 128 * (sum of weights). */
INLINE vector c4_at(const uint8_t *x, const bool kw4, int stride, vector kw4_places)
{
    (void)stride;
    uint8x16_t bytes = vld1q_u8(x);
    if (kw4)
        bytes = vqtbl1q_u8(bytes, vreinterpretq_u8_s8(kw4_places));
    return vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(0x80)));
}

INLINE vector kw4_places_of(const pqc_conv_chw_params *g)
{
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)pqc_kw4_place(g, i / 4, i % 4);
    return vreinterpretq_s8_u8(vld1q_u8(bytes));
}

INLINE vector weights_at(const int8_t *w)
{
    int32_t bytes;
    memcpy(&bytes, w, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

INLINE accumulator begin(const pqc_conv_chw_params *g, int c)
{
    return vdupq_n_s32(g->compensation[c] + g->weight_sums[c]);
}

INLINE void store(const pqc_conv_chw_params *g, int c, accumulator sum, ptrdiff_t pixels, float *y)
{
    float result[4];
    float32x4_t value = finish4(sum, output4_of_channel(&g->to, c));
    if (pixels >= 4) {
        vst1q_f32(y, value);
        return;
    }
    vst1q_f32(result, value);
    memcpy(y, result, (size_t)pixels * sizeof *y);
}

#include "conv_chw_u8s8_rows.h"

#endif
