#include "conv_chw_u8s8.h"
#include "pqc.h"

#if PQC_X86
#include <immintrin.h>
#include <string.h>

#define AVXVNNI PQC_TARGET_AVXVNNI
#define INLINE AVXVNNI PQC_INLINE

/* 8 pixels' quads from bytes in columns: 16 bytes for each 4 pixels, shuffled to their places. */
INLINE __m256i quads_at(const uint8_t *x, const bool columns, int stride, __m256i places)
{
    if (!columns)
        return _mm256_loadu_si256((const __m256i *)(const void *)x);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)x);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(x + 4 * stride));
    return _mm256_shuffle_epi8(_mm256_set_m128i(high, low), places);
}

INLINE __m256i places_of(const pqc_lines_s8_block *g)
{
    uint8_t bytes[32];
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)pqc_column_place(g, i / 4 % 4, i % 4);
    return _mm256_loadu_si256((const __m256i *)(const void *)bytes);
}

INLINE __m256i weights_at(const int8_t *w)
{
    int32_t bytes;
    memcpy(&bytes, w, 4);
    return _mm256_set1_epi32(bytes);
}

INLINE void store(const pqc_lines_s8_block *g, int c, __m256i sum, ptrdiff_t pixels, float *y)
{
    float result[8];
    __m256 value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(g->scale[c]),
                                   _mm256_set1_ps(g->bias[c]));
    if (pixels >= 8) {
        _mm256_storeu_ps(y, value);
        return;
    }
    _mm256_storeu_ps(result, value);
    memcpy(y, result, (size_t)pixels * sizeof *y);
}

/* C channels by 16 pixels. */
INLINE void tile(const pqc_lines_s8_block *g, const uint8_t *x, const int C, const bool columns,
                 __m256i places, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    __m256i low[4], high[4];
    ptrdiff_t apart = columns ? 8 * g->stride : 32;
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++)
        low[c] = high[c] = _mm256_set1_epi32(g->start[c]);
    const int8_t *w = g->w;
    for (ptrdiff_t j = 0; j < g->k; j++, w += g->w_step) {
        __m256i first = quads_at(x + g->offset[j], columns, g->stride, places);
        __m256i second = quads_at(x + g->offset[j] + apart, columns, g->stride, places);
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
        store(g, c, low[c], pixels, y + c * pitch);
        if (pixels > 8)
            store(g, c, high[c], pixels - 8, y + c * pitch + 8);
    }
}

INLINE void line(const pqc_lines_s8_block *g, const int C, const bool columns, ptrdiff_t pixels,
                 float *y, ptrdiff_t pitch)
{
    __m256i places = places_of(g);
    ptrdiff_t step = columns ? g->stride : 4;
    for (ptrdiff_t row = 0; row < g->rows; row++)
        for (ptrdiff_t p = 0; p < pixels; p += 16)
            tile(g, g->x + row * g->x_row + p * step, C, columns, places, pixels - p,
                 y + row * g->y_row + p, pitch);
}

AVXVNNI static void few_channels(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                                 ptrdiff_t pitch)
{
    bool columns = g->dilation != 0;
    if (g->channels > 1)
        columns ? line(g, 4, true, pixels, y, pitch) : line(g, 4, false, pixels, y, pitch);
    else
        columns ? line(g, 1, true, pixels, y, pitch) : line(g, 1, false, pixels, y, pitch);
}

AVXVNNI void pqc_lines_s8_avxvnni(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                                  ptrdiff_t pitch)
{
    for (int c = 0; c < g->channels; c += 4) {
        pqc_lines_s8_block part = pqc_lines_part(g, c, 4);
        few_channels(&part, pixels, y + c * pitch, pitch);
    }
}

#endif
