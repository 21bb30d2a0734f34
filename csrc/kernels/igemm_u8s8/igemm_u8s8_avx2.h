/* AVX2: widens c4 blocks of some kr groups to two pairs of words, bytes 0 and 2 and bytes 1 and 3, so that no byte
 * changes lanes. */
#ifndef PQC_IGEMM_U8S8_AVX2_H
#define PQC_IGEMM_U8S8_AVX2_H

#include "igemm_u8s8.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

#include <string.h>

#define INLINE AVX2 PQC_INLINE

enum { WIDE_KR_GROUPS = 32, WIDE_PIXELS = 64, WIDE_RUN = 8 };

/* Pairs per pixel: those of bytes 1 and 3 are WIDE_KR_GROUPS after those of bytes 0 and 2. */
enum { WIDE_PIXEL = 2 * WIDE_KR_GROUPS };

typedef struct {
    const int32_t *offset;
    ptrdiff_t kr_groups;
    bool runs[WIDE_KR_GROUPS / WIDE_RUN]; /* these WIDE_RUN kr groups have neighbouring c4 blocks */
} wide_part;

/* 8 c4 blocks of activations. */
INLINE void store_pairs(__m256i c4, int32_t *to)
{
    store_words(to, _mm256_and_si256(c4, _mm256_set1_epi32(0x00ff00ff)));
    store_words(to + WIDE_KR_GROUPS, _mm256_srli_epi16(c4, 8));
}

static inline void store_pair(const uint8_t *x, int32_t *to)
{
    uint32_t c4;
    memcpy(&c4, x, 4);
    to[0] = (int32_t)(c4 & 0x00ff00ff);
    to[WIDE_KR_GROUPS] = (int32_t)(c4 >> 8 & 0x00ff00ff);
}

/* True if the n places are 4 bytes apart. */
static inline bool are_neighbours(const int32_t *place, int n)
{
    for (int i = 1; i < n; i++)
        if (place[i] - place[0] != 4 * i)
            return false;
    return true;
}

AVX2 static void widen_pixel(const wide_part *w, const uint8_t *x, int32_t *to)
{
    for (ptrdiff_t j = 0; j < w->kr_groups;)
        if (w->runs[j / WIDE_RUN]) {
            store_pairs(load_words(x + w->offset[j]), to + j);
            j += WIDE_RUN;
        } else {
            for (ptrdiff_t end = pqc_min(j + WIDE_RUN, w->kr_groups); j < end; j++)
                store_pair(x + w->offset[j], to + j);
        }
}

/* 4 pixels' c4 blocks in kr groups j and j + 4. */
INLINE __m256i four_at(const uint8_t *x, const int32_t *offset)
{
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(x + offset[0]))),
        _mm_loadu_si128((const __m128i *)(const void *)(x + offset[4])), 1);
}

/* 4 neighbouring pixels: one transposition per 8 kr groups. */
AVX2 static void widen_four(const wide_part *w, const uint8_t *x, int32_t *to)
{
    const int32_t *offset = w->offset;
    ptrdiff_t j = 0;
    for (; j + WIDE_RUN <= w->kr_groups; j += WIDE_RUN, offset += WIDE_RUN, to += WIDE_RUN) {
        __m256i a = four_at(x, offset), b = four_at(x, offset + 1);
        __m256i c = four_at(x, offset + 2), d = four_at(x, offset + 3);
        __m256i ab01 = _mm256_unpacklo_epi32(a, b), ab23 = _mm256_unpackhi_epi32(a, b);
        __m256i cd01 = _mm256_unpacklo_epi32(c, d), cd23 = _mm256_unpackhi_epi32(c, d);
        store_pairs(_mm256_unpacklo_epi64(ab01, cd01), to);
        store_pairs(_mm256_unpackhi_epi64(ab01, cd01), to + WIDE_PIXEL);
        store_pairs(_mm256_unpacklo_epi64(ab23, cd23), to + 2 * WIDE_PIXEL);
        store_pairs(_mm256_unpackhi_epi64(ab23, cd23), to + 3 * WIDE_PIXEL);
    }
    for (; j < w->kr_groups; j++, offset++, to++)
        for (int p = 0; p < 4; p++)
            store_pair(x + *offset + 4 * p, to + p * WIDE_PIXEL);
}

/* Widens kr_groups kr groups of some pixels, from `first`, to pixels x 2 pairs x WIDE_KR_GROUPS. */
AVX2 static void widen_pixels(const pqc_igemm_params *g, ptrdiff_t first, ptrdiff_t kr_groups,
                              const int32_t *pixel, int pixels, int32_t *to)
{
    wide_part w = {g->offset + first, kr_groups, {false}};
    for (ptrdiff_t j = 0; j + WIDE_RUN <= kr_groups; j += WIDE_RUN)
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

/* Widens 16 channels' weights of some kr groups, `k_stride` bytes apart, to kr groups x 2 pairs x 16. */
INLINE void widen_weights(const int8_t *w, ptrdiff_t k_stride, ptrdiff_t kr_groups, int16_t *to)
{
    for (; kr_groups > 0; kr_groups--, w += k_stride, to += 64) {
        PQC_UNROLL(2)
        for (int half = 0; half < 2; half++) {
            __m256i c4 = load_words(w + 32 * half);
            store_words(to + 16 * half, _mm256_srai_epi16(_mm256_slli_epi16(c4, 8), 8));
            store_words(to + 32 + 16 * half, _mm256_srai_epi16(c4, 8));
        }
    }
}

#endif
#endif
