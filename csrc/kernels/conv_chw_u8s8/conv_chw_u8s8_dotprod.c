#include "conv_chw_u8s8.h"

#if PQC_ARM
#include "requantize/requantize_neon.h"

#include <arm_neon.h>
#include <string.h>

#define DOTPROD PQC_TARGET_DOTPROD
#define INLINE DOTPROD PQC_INLINE

/* 4 pixels' c4 blocks from 16 bytes, as signed x - 128: 128 * (sum of weights) is added in the end. */
INLINE int8x16_t c4_at(const uint8_t *x, const bool kw4, uint8x16_t kw4_places)
{
    uint8x16_t bytes = vld1q_u8(x);
    return vreinterpretq_s8_u8(
        veorq_u8(kw4 ? vqtbl1q_u8(bytes, kw4_places) : bytes, vdupq_n_u8(0x80)));
}

INLINE uint8x16_t kw4_places_of(const pqc_conv_chw_params *g)
{
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)pqc_kw4_place(g, i / 4, i % 4);
    return vld1q_u8(bytes);
}

INLINE int8x16_t weights_at(const int8_t *w)
{
    int32_t bytes;
    memcpy(&bytes, w, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

INLINE int32x4_t add_products(int32x4_t acc, int8x16_t x, int8x16_t w)
{
    return vdotq_s32(acc, x, w);
}

INLINE void store(const pqc_conv_chw_params *g, int c, int32x4_t sum, ptrdiff_t pixels, float *y)
{
    float result[4];
    sum = vaddq_s32(sum, vdupq_n_s32(g->compensation[c] + g->weight_sums[c]));
    float32x4_t value = finish4(sum, output4_of_channel(&g->to, c));
    if (pixels >= 4) {
        vst1q_f32(y, value);
        return;
    }
    vst1q_f32(result, value);
    memcpy(y, result, (size_t)pixels * sizeof *y);
}

/* C channels by 8 pixels; C and `kw4` are constants where this is inlined. */
INLINE void tile(const pqc_conv_chw_params *g, const uint8_t *x, const int C, const bool kw4,
                 uint8x16_t kw4_places, ptrdiff_t pixels, float *y, ptrdiff_t channel_stride)
{
    int32x4_t low[4], high[4];
    ptrdiff_t vector_bytes = kw4 ? 4 * g->stride : 16;
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++)
        low[c] = high[c] = vdupq_n_s32(0);
    const int8_t *w = g->w;
    for (ptrdiff_t j = 0; j < g->k; j++, w += g->k_stride) {
        int8x16_t first = c4_at(x + g->offset[j], kw4, kw4_places);
        int8x16_t second = c4_at(x + g->offset[j] + vector_bytes, kw4, kw4_places);
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
        store(g, c, low[c], pixels, y + c * channel_stride);
        if (pixels > 4)
            store(g, c, high[c], pixels - 4, y + c * channel_stride + 4);
    }
}

INLINE void one_row(const pqc_conv_chw_params *g, const int C, const bool kw4, ptrdiff_t pixels,
                    float *y, ptrdiff_t channel_stride)
{
    uint8x16_t kw4_places = kw4_places_of(g);
    ptrdiff_t pixel_bytes = kw4 ? g->stride : 4;
    for (ptrdiff_t row = 0; row < g->rows; row++)
        for (ptrdiff_t p = 0; p < pixels; p += 8)
            tile(g, g->x + row * g->x_row + p * pixel_bytes, C, kw4, kw4_places, pixels - p,
                 y + row * g->y_row + p, channel_stride);
}

DOTPROD static void few_channels(const pqc_conv_chw_params *g, ptrdiff_t pixels, float *y,
                                 ptrdiff_t channel_stride)
{
    bool kw4 = g->dilation != 0;
    if (g->channels > 1)
        kw4 ? one_row(g, 4, true, pixels, y, channel_stride)
            : one_row(g, 4, false, pixels, y, channel_stride);
    else
        kw4 ? one_row(g, 1, true, pixels, y, channel_stride)
            : one_row(g, 1, false, pixels, y, channel_stride);
}

DOTPROD void pqc_conv_chw_u8s8_dotprod(const pqc_conv_chw_params *g, ptrdiff_t pixels)
{
    for (int c = 0; c < g->channels; c += 4) {
        pqc_conv_chw_params part = pqc_conv_chw_part(g, c, 4);
        few_channels(&part, pixels, part.to.y, part.to.channel_stride);
    }
}

#endif
