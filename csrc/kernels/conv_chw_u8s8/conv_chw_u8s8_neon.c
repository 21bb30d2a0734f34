#include "conv_chw_u8s8.h"
#include "pqc.h"

#if PQC_ARM
#include <arm_neon.h>
#include <string.h>

#define INLINE PQC_INLINE

/* 4 pixels' quads from 16 bytes, as signed x - 128: 128 * (sum of weights) is added in the end. */
INLINE int8x16_t quads_at(const uint8_t *x, const bool columns, uint8x16_t places)
{
    uint8x16_t bytes = vld1q_u8(x);
    return vreinterpretq_s8_u8(
        veorq_u8(columns ? vqtbl1q_u8(bytes, places) : bytes, vdupq_n_u8(0x80)));
}

INLINE uint8x16_t places_of(const pqc_lines_s8_block *g)
{
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)pqc_column_place(g, i / 4, i % 4);
    return vld1q_u8(bytes);
}

INLINE int8x16_t weights_at(const int8_t *w)
{
    int32_t bytes;
    memcpy(&bytes, w, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

/* SMULL of bytes: a product is at most 128 * 128, a sum of two still fits into 16 bits but for 2 *
 * 128 * 128, so the pairs are added into 32 bits. */
INLINE int32x4_t add_products(int32x4_t acc, int8x16_t x, int8x16_t w)
{
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(w)));
    int32x4_t high = vpaddlq_s16(vmull_high_s8(x, w));
    return vaddq_s32(acc, vpaddq_s32(low, high));
}

INLINE void store(const pqc_lines_s8_block *g, int c, int32x4_t sum, ptrdiff_t pixels, float *y)
{
    float result[4];
    sum = vaddq_s32(sum, vdupq_n_s32(g->start[c] + g->sum[c]));
    float32x4_t value =
        vfmaq_f32(vdupq_n_f32(g->bias[c]), vcvtq_f32_s32(sum), vdupq_n_f32(g->scale[c]));
    if (pixels >= 4) {
        vst1q_f32(y, value);
        return;
    }
    vst1q_f32(result, value);
    memcpy(y, result, (size_t)pixels * sizeof *y);
}

/* C channels by 8 pixels; C and `columns` are constants where this is inlined. */
INLINE void tile(const pqc_lines_s8_block *g, const uint8_t *x, const int C, const bool columns,
                 uint8x16_t places, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    int32x4_t low[4], high[4];
    ptrdiff_t apart = columns ? 4 * g->stride : 16;
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++)
        low[c] = high[c] = vdupq_n_s32(0);
    const int8_t *w = g->w;
    for (ptrdiff_t j = 0; j < g->k; j++, w += g->w_step) {
        int8x16_t first = quads_at(x + g->offset[j], columns, places);
        int8x16_t second = quads_at(x + g->offset[j] + apart, columns, places);
        PQC_UNROLL(4)
        for (int c = 0; c < C; c++) {
            int8x16_t weights = weights_at(w + 4 * c);
            low[c] = add_products(low[c], first, weights);
            high[c] = add_products(high[c], second, weights);
        }
    }
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++) {
        if (c >= g->channels)
            break;
        store(g, c, low[c], pixels, y + c * pitch);
        if (pixels > 4)
            store(g, c, high[c], pixels - 4, y + c * pitch + 4);
    }
}

INLINE void line(const pqc_lines_s8_block *g, const int C, const bool columns, ptrdiff_t pixels,
                 float *y, ptrdiff_t pitch)
{
    uint8x16_t places = places_of(g);
    ptrdiff_t step = columns ? g->stride : 4;
    for (ptrdiff_t row = 0; row < g->rows; row++)
        for (ptrdiff_t p = 0; p < pixels; p += 8)
            tile(g, g->x + row * g->x_row + p * step, C, columns, places, pixels - p,
                 y + row * g->y_row + p, pitch);
}

static void few_channels(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    bool columns = g->dilation != 0;
    if (g->channels > 1)
        columns ? line(g, 4, true, pixels, y, pitch) : line(g, 4, false, pixels, y, pitch);
    else
        columns ? line(g, 1, true, pixels, y, pitch) : line(g, 1, false, pixels, y, pitch);
}

void pqc_lines_s8_neon(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    for (int c = 0; c < g->channels; c += 4) {
        pqc_lines_s8_block part = pqc_lines_part(g, c, 4);
        few_channels(&part, pixels, y + c * pitch, pitch);
    }
}

#endif
