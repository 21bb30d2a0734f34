/* Rows of pixels in c4 blocks, a few channels at a time, for instruction sets with vectors of LANES pixels.
 *
 * The file that includes it defines TARGET, INLINE, LANES, the types `vector` of bytes and `accumulator`, and
 *
 *   accumulator begin(g, c)                    what the sums of a channel begin with
 *   vector kw4_places_of(g)                    where bytes of tap-packed rows belong
 *   vector c4_at(x, kw4, stride, kw4_places)   the blocks of LANES pixels
 *   vector weights_at(w)                       4 weights for each pixel
 *   accumulator add_products(accumulator, x, w)
 *   void store(g, c, sum, pixels, y)           at most LANES results of a channel */
#ifndef PQC_CONV_CHW_U8S8_ROWS_H
#define PQC_CONV_CHW_U8S8_ROWS_H

#include "conv_chw_u8s8.h"

/* C channels by 2 * LANES pixels; C and `kw4` are constants after inlining. */
INLINE void tile(const pqc_conv_chw_params *g, const uint8_t *x, const int C, const bool kw4,
                 vector kw4_places, ptrdiff_t pixels, float *y, ptrdiff_t channel_stride)
{
    accumulator low[4], high[4];
    ptrdiff_t vector_bytes = kw4 ? LANES * g->stride : 4 * LANES;
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++)
        low[c] = high[c] = begin(g, c);
    const int8_t *w = g->w;
    for (ptrdiff_t j = 0; j < g->k; j++, w += g->k_stride) {
        vector first = c4_at(x + g->offset[j], kw4, g->stride, kw4_places);
        vector second = c4_at(x + g->offset[j] + vector_bytes, kw4, g->stride, kw4_places);
        PQC_UNROLL(4)
        for (int c = 0; c < C; c++) {
            vector weights = weights_at(w + 4 * c);
            low[c] = add_products(low[c], first, weights);
            high[c] = add_products(high[c], second, weights);
        }
    }
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++) {
        if (c >= g->channels)
            break;
        store(g, c, low[c], pixels, y + c * channel_stride);
        if (pixels > LANES)
            store(g, c, high[c], pixels - LANES, y + c * channel_stride + LANES);
    }
}

INLINE void one_row(const pqc_conv_chw_params *g, const int C, const bool kw4, ptrdiff_t pixels,
                    float *y, ptrdiff_t channel_stride)
{
    vector kw4_places = kw4_places_of(g);
    ptrdiff_t pixel_bytes = kw4 ? g->stride : 4;
    for (ptrdiff_t row = 0; row < g->rows; row++)
        for (ptrdiff_t p = 0; p < pixels; p += 2 * LANES)
            tile(g, g->x + row * g->x_row + p * pixel_bytes, C, kw4, kw4_places, pixels - p,
                 y + row * g->y_row + p, channel_stride);
}

TARGET static void few_channels(const pqc_conv_chw_params *g, ptrdiff_t pixels, float *y,
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

TARGET static void all_channels(const pqc_conv_chw_params *g, ptrdiff_t pixels)
{
    for (int c = 0; c < g->channels; c += 4) {
        pqc_conv_chw_params part = pqc_conv_chw_part(g, c, 4);
        few_channels(&part, pixels, part.to.y, part.to.channel_stride);
    }
}

#endif
