/* Pixels' quads for the AVX2 bodies, and how 8 results are written. */
#ifndef PQC_COLUMNS_AVX2_H
#define PQC_COLUMNS_AVX2_H

#include "lines_s8.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

/* Columns: the places of 4 pixels' quads in 16 bytes, twice. */
INLINE __m256i places_of(const pqc_lines_s8_block *g)
{
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)pqc_column_place(g, i / 4, i % 4);
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

/* 8 pixels' quads; x is that of the first. */
INLINE __m256i quads_at(const uint8_t *x, const bool columns, int stride, __m256i places)
{
    if (!columns)
        return _mm256_loadu_si256((const __m256i *)(const void *)x);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)x);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(x + 4 * stride));
    return _mm256_shuffle_epi8(_mm256_set_m128i(high, low), places);
}

/* The first `pixels` < 8 of 8 results. */
AVX2 static void put_part(float *y, ptrdiff_t pixels, __m256 result)
{
    float part[8];
    _mm256_storeu_ps(part, result);
    for (ptrdiff_t p = 0; p < pixels; p++)
        y[p] = part[p];
}

/* The first `pixels` of 8 results, or all of them. */
INLINE void put(float *y, ptrdiff_t pixels, __m256 result)
{
    if (pixels >= 8)
        _mm256_storeu_ps(y, result);
    else
        put_part(y, pixels, result);
}

/* Where vector `p / 8` begins in a line of `pixels`: the last one steps back so as to be whole, if there are 8. */
static inline ptrdiff_t vector_begin(ptrdiff_t p, ptrdiff_t pixels)
{
    return p + 8 > pixels && pixels >= 8 ? pixels - 8 : p;
}

#endif
#endif
