/* Activations of some steps and pixels, as 16 bits and in the order in which the tiles read them. */
#ifndef PQC_WIDEN_AVX2_H
#define PQC_WIDEN_AVX2_H

#include "gemm_s8.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

#include <string.h>

#define INLINE AVX2 PQC_INLINE

enum { WIDE_STEPS = 64, WIDE_PIXELS = 24 }; /* 12 KiB */

typedef struct {
    const int16_t *x; /* steps x pixels x 4 */
    ptrdiff_t first, steps;
    int pixels;
} wide_steps;

INLINE __m256i widened16(const uint8_t *x)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)x));
}

/* One pixel's quad in one step. */
INLINE void widen_quad(const uint8_t *x, int16_t *to)
{
    int32_t quad;
    memcpy(&quad, x, 4);
    _mm_storel_epi64((__m128i *)(void *)to, _mm_cvtepu8_epi16(_mm_cvtsi32_si128(quad)));
}

/* True if each of 4 places lies 4 bytes after the one before: they are 16 bytes to load at once. */
static inline bool neighbours(const int32_t *place)
{
    return place[1] - place[0] == 4 && place[2] - place[0] == 8 && place[3] - place[0] == 12;
}

/* 4 neighbouring pixels, in all steps. */
AVX2 static void widen_neighbours(const pqc_gemm_s8_block *g, int32_t pixel, wide_steps wide,
                                  int16_t *to)
{
    for (ptrdiff_t j = 0; j < wide.steps; j++, to += 4 * wide.pixels)
        store_words(to, widened16(g->x + pixel + g->offset[wide.first + j]));
}

/* 4 pixels anywhere, in 4 neighbouring steps: a transposition of quads. */
INLINE void widen_block(const uint8_t *x, const int32_t *pixel, ptrdiff_t step, int16_t *to)
{
    __m256i a = widened16(x + pixel[0]), b = widened16(x + pixel[1]);
    __m256i c = widened16(x + pixel[2]), d = widened16(x + pixel[3]);
    __m256i ab02 = _mm256_unpacklo_epi64(a, b), ab13 = _mm256_unpackhi_epi64(a, b);
    __m256i cd02 = _mm256_unpacklo_epi64(c, d), cd13 = _mm256_unpackhi_epi64(c, d);
    store_words(to, _mm256_permute2x128_si256(ab02, cd02, 0x20));
    store_words(to + step, _mm256_permute2x128_si256(ab13, cd13, 0x20));
    store_words(to + 2 * step, _mm256_permute2x128_si256(ab02, cd02, 0x31));
    store_words(to + 3 * step, _mm256_permute2x128_si256(ab13, cd13, 0x31));
}

/* Up to 4 pixels anywhere. */
AVX2 static void widen_apart(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                             wide_steps wide, int16_t *to)
{
    const int32_t *offset = g->offset + wide.first;
    ptrdiff_t step = 4 * wide.pixels;
    for (ptrdiff_t j = 0; j < wide.steps;) {
        if (pixels == 4 && wide.steps - j >= 4 && neighbours(offset + j)) {
            widen_block(g->x + offset[j], pixel, step, to + j * step);
            j += 4;
            continue;
        }
        for (int p = 0; p < pixels; p++)
            widen_quad(g->x + pixel[p] + offset[j], to + j * step + 4 * p);
        j++;
    }
}

/* How many of the next `left` pixels, at most 4, to take before 4 neighbours begin. */
static inline int until_neighbours(const int32_t *pixel, int left)
{
    int n = 1;
    while (n < 4 && n < left && !(left - n >= 4 && neighbours(pixel + n)))
        n++;
    return n;
}

/* Fills wide.x, whose memory is `to`. */
AVX2 static inline void widen(const pqc_gemm_s8_block *g, const int32_t *pixel, wide_steps wide,
                              int16_t *to)
{
    for (int p = 0; p < wide.pixels;) {
        int left = wide.pixels - p;
        if (left >= 4 && neighbours(pixel + p)) {
            widen_neighbours(g, pixel[p], wide, to + 4 * p);
            p += 4;
        } else {
            int pixels = until_neighbours(pixel + p, left);
            widen_apart(g, pixel + p, pixels, wide, to + 4 * p);
            p += pixels;
        }
    }
}

#endif
#endif
