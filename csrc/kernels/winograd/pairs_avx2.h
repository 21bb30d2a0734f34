/* The innermost product of AVX2: operands of 16 bits, multiplied and added in pairs (vpmaddwd), which is exact where the
 * 8 bit form (vpmaddubsw) would saturate.  A tile is up to 6 pixels by 16 channels: 12 sums, 2 weights, 1 activation. */
#ifndef PQC_PAIRS_AVX2_H
#define PQC_PAIRS_AVX2_H

#include "pqc.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

enum { PAIRS_PIXELS = 6, PAIRS_WEIGHTS = 64 }; /* 64 words of weights in a step */

typedef struct {
    const int16_t *x; /* of each step: 4 words for each pixel */
    ptrdiff_t x_step;
    const int16_t *w; /* of each step: 2 pairs x 16 channels x 2 */
    ptrdiff_t steps;
} pairs_strip;

INLINE __m256i load_words(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

INLINE void store_words(void *to, __m256i v)
{
    _mm256_storeu_si256((__m256i *)to, v);
}

/* P pixels; P is a constant where this is inlined.  Adds to acc, or begins at 0; acc_step numbers lie from a pixel to the
 * next. */
INLINE void pairs_tile(pairs_strip s, const int P, bool more, int32_t *acc, ptrdiff_t acc_step)
{
    __m256i low[PAIRS_PIXELS], high[PAIRS_PIXELS];
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        low[p] = more ? load_words(acc + p * acc_step) : _mm256_setzero_si256();
        high[p] = more ? load_words(acc + p * acc_step + 8) : _mm256_setzero_si256();
    }
    for (ptrdiff_t left = s.steps; left > 0; left--, s.x += s.x_step, s.w += PAIRS_WEIGHTS) {
        PQC_UNROLL(2)
        for (int pair = 0; pair < 2; pair++) {
            __m256i w0 = load_words(s.w + 32 * pair), w1 = load_words(s.w + 32 * pair + 16);
            PQC_UNROLL(6)
            for (int p = 0; p < P; p++) {
                __m256i x = pair_at(s.x + 4 * p + 2 * pair);
                __m256i x0 = _mm256_madd_epi16(x, w0), x1 = _mm256_madd_epi16(x, w1);
                PQC_KEEP_IN_REGISTERS(x0,
                                      x1); /* two products, then two sums: 3 % faster on Zen 3 */
                low[p] = _mm256_add_epi32(low[p], x0);
                high[p] = _mm256_add_epi32(high[p], x1);
                PQC_KEEP_IN_REGISTERS(low[p], high[p]); /* else GCC gives a sum two registers */
            }
        }
    }
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        store_words(acc + p * acc_step, low[p]);
        store_words(acc + p * acc_step + 8, high[p]);
    }
}

AVX2 static void pairs_any_tile(pairs_strip s, ptrdiff_t pixels, bool more, int32_t *acc,
                                ptrdiff_t acc_step)
{
    switch (pixels) {
    case 1:
        pairs_tile(s, 1, more, acc, acc_step);
        break;
    case 2:
        pairs_tile(s, 2, more, acc, acc_step);
        break;
    case 3:
        pairs_tile(s, 3, more, acc, acc_step);
        break;
    case 4:
        pairs_tile(s, 4, more, acc, acc_step);
        break;
    case 5:
        pairs_tile(s, 5, more, acc, acc_step);
        break;
    default:
        pairs_tile(s, 6, more, acc, acc_step);
        break;
    }
}

/* Any number of pixels, in tiles of nearly equal size. */
AVX2 static inline void pairs_product(pairs_strip s, ptrdiff_t pixels, bool more, int32_t *acc,
                                      ptrdiff_t acc_step)
{
    for (ptrdiff_t tiles = (pixels + PAIRS_PIXELS - 1) / PAIRS_PIXELS; tiles > 0; tiles--) {
        ptrdiff_t now = (pixels + tiles - 1) / tiles;
        pairs_any_tile(s, now, more, acc, acc_step);
        s.x += 4 * now;
        acc += now * acc_step;
        pixels -= now;
    }
}

#endif
#endif
