#include "conv_chw_u8s8.h"

#if PQC_X86
#include "requantize/requantize_avx2.h"

#include <immintrin.h>
#include <string.h>

#define AVXVNNI PQC_TARGET_AVXVNNI
#define INLINE AVXVNNI PQC_INLINE

/* 8 pixels' c4 blocks from bytes tap-packed: 16 bytes for each 4 pixels, shuffled to their places. */
INLINE __m256i c4_at(const uint8_t *x, const bool kw4, int stride, __m256i kw4_places)
{
    if (!kw4)
        return _mm256_loadu_si256((const __m256i *)(const void *)x);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)x);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(x + 4 * stride));
    return _mm256_shuffle_epi8(_mm256_set_m128i(high, low), kw4_places);
}

INLINE __m256i kw4_places_of(const pqc_conv_chw_params *g)
{
    uint8_t bytes[32];
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)pqc_kw4_place(g, i / 4 % 4, i % 4);
    return _mm256_loadu_si256((const __m256i *)(const void *)bytes);
}

INLINE __m256i weights_at(const int8_t *w)
{
    int32_t bytes;
    memcpy(&bytes, w, 4);
    return _mm256_set1_epi32(bytes);
}

INLINE void store(const pqc_conv_chw_params *g, int c, __m256i sum, ptrdiff_t pixels, float *y)
{
    float result[8];
    __m256 value = finish8(sum, output8_of_channel(&g->to, c));
    if (pixels >= 8) {
        _mm256_storeu_ps(y, value);
        return;
    }
    _mm256_storeu_ps(result, value);
    memcpy(y, result, (size_t)pixels * sizeof *y);
}

/* C channels by 16 pixels. */
INLINE void tile(const pqc_conv_chw_params *g, const uint8_t *x, const int C, const bool kw4,
                 __m256i kw4_places, ptrdiff_t pixels, float *y, ptrdiff_t channel_stride)
{
    __m256i low[4], high[4];
    ptrdiff_t vector_bytes = kw4 ? 8 * g->stride : 32;
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++)
        low[c] = high[c] = _mm256_set1_epi32(g->compensation[c]);
    const int8_t *w = g->w;
    for (ptrdiff_t j = 0; j < g->k; j++, w += g->k_stride) {
        __m256i first = c4_at(x + g->offset[j], kw4, g->stride, kw4_places);
        __m256i second = c4_at(x + g->offset[j] + vector_bytes, kw4, g->stride, kw4_places);
        PQC_UNROLL(4)
        for (int c = 0; c < C; c++) {
            __m256i weights = weights_at(w + 4 * c);
            low[c] = _mm256_dpbusd_avx_epi32(low[c], first, weights);
            high[c] = _mm256_dpbusd_avx_epi32(high[c], second, weights);
        }
    }
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++) {
        if (c >= g->channels)
            break;
        store(g, c, low[c], pixels, y + c * channel_stride);
        if (pixels > 8)
            store(g, c, high[c], pixels - 8, y + c * channel_stride + 8);
    }
}

INLINE void one_row(const pqc_conv_chw_params *g, const int C, const bool kw4, ptrdiff_t pixels,
                    float *y, ptrdiff_t channel_stride)
{
    __m256i kw4_places = kw4_places_of(g);
    ptrdiff_t pixel_bytes = kw4 ? g->stride : 4;
    for (ptrdiff_t row = 0; row < g->rows; row++)
        for (ptrdiff_t p = 0; p < pixels; p += 16)
            tile(g, g->x + row * g->x_row + p * pixel_bytes, C, kw4, kw4_places, pixels - p,
                 y + row * g->y_row + p, channel_stride);
}

AVXVNNI static void few_channels(const pqc_conv_chw_params *g, ptrdiff_t pixels, float *y,
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

AVXVNNI void pqc_conv_chw_u8s8_avxvnni(const pqc_conv_chw_params *g, ptrdiff_t pixels)
{
    for (int c = 0; c < g->channels; c += 4) {
        pqc_conv_chw_params part = pqc_conv_chw_part(g, c, 4);
        few_channels(&part, pixels, part.to.y, part.to.channel_stride);
    }
}

#endif
