/* Quads of some steps as two pairs of words, bytes 0 and 2 and bytes 1 and 3: so no byte has to change its lane. */
#ifndef PQC_WIDEN_AVX2_H
#define PQC_WIDEN_AVX2_H

#include "igemm_u8s8.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

#include <string.h>

#define INLINE AVX2 PQC_INLINE

enum { WIDE_STEPS = 32, WIDE_PIXELS = 64, WIDE_RUN = 8 };

/* Where a pixel has the first of its pairs; those of bytes 1 and 3 are WIDE_STEPS later. */
enum { WIDE_PIXEL = 2 * WIDE_STEPS };

typedef struct {
    const int32_t *offset;
    ptrdiff_t steps;
    bool runs[WIDE_STEPS /
              WIDE_RUN]; /* there are WIDE_RUN steps, whose quads lie beside each other */
} wide_part;

/* 8 quads of activations. */
INLINE void put_pairs(__m256i quads, int32_t *to)
{
    store_words(to, _mm256_and_si256(quads, _mm256_set1_epi32(0x00ff00ff)));
    store_words(to + WIDE_STEPS, _mm256_srli_epi16(quads, 8));
}

static inline void put_pair(const uint8_t *x, int32_t *to)
{
    uint32_t quad;
    memcpy(&quad, x, 4);
    to[0] = (int32_t)(quad & 0x00ff00ff);
    to[WIDE_STEPS] = (int32_t)(quad >> 8 & 0x00ff00ff);
}

/* True if each of n places lies 4 bytes after the one before. */
static inline bool are_neighbours(const int32_t *place, int n)
{
    for (int i = 1; i < n; i++)
        if (place[i] - place[0] != 4 * i)
            return false;
    return true;
}

AVX2 static void widen_pixel(const wide_part *w, const uint8_t *x, int32_t *to)
{
    for (ptrdiff_t j = 0; j < w->steps;)
        if (w->runs[j / WIDE_RUN]) {
            put_pairs(load_words(x + w->offset[j]), to + j);
            j += WIDE_RUN;
        } else {
            for (ptrdiff_t end = pqc_least(j + WIDE_RUN, w->steps); j < end; j++)
                put_pair(x + w->offset[j], to + j);
        }
}

/* 4 pixels' quads in steps j and j + 4. */
INLINE __m256i four_at(const uint8_t *x, const int32_t *offset)
{
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(x + offset[0]))),
        _mm_loadu_si128((const __m128i *)(const void *)(x + offset[4])), 1);
}

/* 4 neighbouring pixels: a transposition for each 8 steps. */
AVX2 static void widen_four(const wide_part *w, const uint8_t *x, int32_t *to)
{
    const int32_t *offset = w->offset;
    ptrdiff_t j = 0;
    for (; j + WIDE_RUN <= w->steps; j += WIDE_RUN, offset += WIDE_RUN, to += WIDE_RUN) {
        __m256i a = four_at(x, offset), b = four_at(x, offset + 1);
        __m256i c = four_at(x, offset + 2), d = four_at(x, offset + 3);
        __m256i ab01 = _mm256_unpacklo_epi32(a, b), ab23 = _mm256_unpackhi_epi32(a, b);
        __m256i cd01 = _mm256_unpacklo_epi32(c, d), cd23 = _mm256_unpackhi_epi32(c, d);
        put_pairs(_mm256_unpacklo_epi64(ab01, cd01), to);
        put_pairs(_mm256_unpackhi_epi64(ab01, cd01), to + WIDE_PIXEL);
        put_pairs(_mm256_unpacklo_epi64(ab23, cd23), to + 2 * WIDE_PIXEL);
        put_pairs(_mm256_unpackhi_epi64(ab23, cd23), to + 3 * WIDE_PIXEL);
    }
    for (; j < w->steps; j++, offset++, to++)
        for (int p = 0; p < 4; p++)
            put_pair(x + *offset + 4 * p, to + p * WIDE_PIXEL);
}

/* Steps [first, first + steps) of some pixels to pixels x 2 pairs x WIDE_STEPS. */
AVX2 static void widen_pixels(const pqc_gemm_s8_block *g, ptrdiff_t first, ptrdiff_t steps,
                              const int32_t *pixel, int pixels, int32_t *to)
{
    wide_part w = {g->offset + first, steps, {false}};
    for (ptrdiff_t j = 0; j + WIDE_RUN <= steps; j += WIDE_RUN)
        w.runs[j / WIDE_RUN] = are_neighbours(w.offset + j, WIDE_RUN);
    for (int p = 0; p < pixels;)
        if (pixels - p >= 4 && are_neighbours(pixel + p, 4)) {
            widen_four(&w, g->x + pixel[p], to + p * WIDE_PIXEL);
            p += 4;
        } else {
            widen_pixel(&w, g->x + pixel[p], to + p * WIDE_PIXEL);
            p++;
        }
}

/* 16 channels' weights of some steps, `step` bytes from one to the next, to steps x 2 pairs x 16. */
INLINE void widen_weights(const int8_t *w, ptrdiff_t step, ptrdiff_t steps, int16_t *to)
{
    for (; steps > 0; steps--, w += step, to += 64) {
        PQC_UNROLL(2)
        for (int half = 0; half < 2; half++) {
            __m256i quads = load_words(w + 32 * half);
            store_words(to + 16 * half, _mm256_srai_epi16(_mm256_slli_epi16(quads, 8), 8));
            store_words(to + 32 + 16 * half, _mm256_srai_epi16(quads, 8));
        }
    }
}

#endif
#endif
