#include "gemm_s8.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 static inline __attribute__((always_inline))

/* Bytes are widened to 16 bits, multiplied and added in pairs (vpmaddwd): exact, where vpmaddubsw
 * would saturate.  A tile is P pixels by 8 channels: 12 sums of 4 channels with two partial sums
 * each, 2 weights, 1 activation, 1 product. */
enum { MOST_PIXELS = 6 };

INLINE __m256i quad_of(const uint8_t *x)
{
    int32_t bytes;
    __builtin_memcpy(&bytes, x, 4);
    return _mm256_cvtepu8_epi16(_mm_set1_epi32(bytes));
}

INLINE __m256i weights_of(const int8_t *w)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)w));
}

/* The partial sums of channels 0 to 3 and 4 to 7, added. */
INLINE __m256i joined(__m256i low, __m256i high)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
}

/* Channels 8 * half to 8 * half + 7; P is a constant where this is inlined. */
INLINE void tile(const pqc_gemm_s8_block *g, const int32_t *pixel, const int P, int half,
                 int32_t *acc)
{
    const uint8_t *x[MOST_PIXELS];
    __m256i low[MOST_PIXELS], high[MOST_PIXELS];
#pragma GCC unroll 6
    for (int p = 0; p < P; p++) {
        x[p] = g->x + pixel[p];
        low[p] = high[p] = _mm256_setzero_si256();
    }
    const int8_t *w = g->w + 32 * half;
    ptrdiff_t step = 64 * g->vectors, lanes = PQC_LANES * g->vectors;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, w += step) {
        __m256i w0 = weights_of(w), w1 = weights_of(w + 16);
        ptrdiff_t at = *offset;
#pragma GCC unroll 6
        for (int p = 0; p < P; p++) {
            __m256i quad = quad_of(x[p] + at);
            low[p] = _mm256_add_epi32(low[p], _mm256_madd_epi16(quad, w0));
            high[p] = _mm256_add_epi32(high[p], _mm256_madd_epi16(quad, w1));
        }
    }
    __m256i start = _mm256_loadu_si256((const __m256i *)(const void *)(g->start + 8 * half));
#pragma GCC unroll 6
    for (int p = 0; p < P; p++)
        _mm256_storeu_si256((__m256i *)(void *)(acc + p * lanes + 8 * half),
                            _mm256_add_epi32(start, joined(low[p], high[p])));
}

AVX2 static void tiles(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels, int half,
                       int32_t *acc)
{
    switch (pixels) {
    case 1:
        tile(g, pixel, 1, half, acc);
        break;
    case 2:
        tile(g, pixel, 2, half, acc);
        break;
    case 3:
        tile(g, pixel, 3, half, acc);
        break;
    case 4:
        tile(g, pixel, 4, half, acc);
        break;
    case 5:
        tile(g, pixel, 5, half, acc);
        break;
    default:
        tile(g, pixel, 6, half, acc);
        break;
    }
}

AVX2 void pqc_gemm_s8_avx2(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                           int32_t *acc)
{
    for (int half = 0; half < 2 * g->vectors; half++)
        for (int p = 0; p < pixels; p += MOST_PIXELS)
            tiles(g, pixel + p, pixels - p, half, acc + p * PQC_LANES * g->vectors);
}

#endif
