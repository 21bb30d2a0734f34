/* AVX-512 VNNI sums of depthwise convolutions, up to 64 channels in registers. */
#ifndef PQC_DWCONV_NHWC_VNNI_H
#define PQC_DWCONV_NHWC_VNNI_H

#include "avx512.h"
#include "dwconv_nhwc.h"

#define INLINE PQC_TARGET_VNNI PQC_INLINE

enum { SHARED_ROWS = 2, SHARED_KERNEL = 3 };

/* Of 5 x 5 taps: vectors at a time; channels that lie together in memory. */
enum { VECTORS = 2, BLOCK = 16 };

/* Sums of 5 x 5 taps in steps of one or two columns. */
pqc_dwconv_nhwc_fn pqc_dwconv_nhwc_5x5_vnni;

/* Up to four vectors of 16 channels. */
typedef struct {
    __m512i v[4];
} sums, column, taps;

INLINE sums load_vectors(const void *from, const int v)
{
    sums loaded = {{_mm512_loadu_si512(from)}};
    PQC_UNROLL(3)
    for (int i = 1; i < v; i++)
        loaded.v[i] = _mm512_loadu_si512((const char *)from + 64 * i);
    return loaded;
}

INLINE taps taps_below(const taps *w, const taps *before, const int v)
{
    taps shifted;
    PQC_UNROLL(4)
    for (int i = 0; i < v; i++) {
        shifted.v[i] = _mm512_slli_epi32(w->v[i], 8);
        if (before)
            shifted.v[i] = _mm512_or_si512(shifted.v[i], _mm512_srli_epi32(before->v[i], 24));
    }
    return shifted;
}

/* Exactly the bytes of 16 * v channels. */
INLINE __m512i load_bytes(const uint8_t *x, const int v)
{
    if (v == 4)
        return _mm512_loadu_si512(x);
    if (v == 2)
        return _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)x));
    return _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)x));
}

/* The same, permuted so that unpacking leaves the channels in order. */
INLINE __m512i load_channels(const uint8_t *x, const int v)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, load_bytes(x, v));
}

INLINE column interleave(__m512i r0, __m512i r1, __m512i r2, __m512i r3, const int v)
{
    __m512i low = _mm512_unpacklo_epi8(r0, r1), next = _mm512_unpacklo_epi8(r2, r3);
    column c = {{_mm512_unpacklo_epi16(low, next)}};
    if (v >= 2)
        c.v[1] = _mm512_unpackhi_epi16(low, next);
    if (v == 4) {
        low = _mm512_unpackhi_epi8(r0, r1);
        next = _mm512_unpackhi_epi8(r2, r3);
        c.v[2] = _mm512_unpacklo_epi16(low, next);
        c.v[3] = _mm512_unpackhi_epi16(low, next);
    }
    return c;
}

/* The channels of one row as dwords. */
INLINE column widen(const uint8_t *x, const int v)
{
    column c = {{_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)x))}};
    PQC_UNROLL(3)
    for (int i = 1; i < v; i++)
        c.v[i] = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(x + 16 * i)));
    return c;
}

INLINE void add_column(sums *to, const column *x, const taps *w, ptrdiff_t n, const int v)
{
    (void)n;
    PQC_UNROLL(4)
    for (int i = 0; i < v; i++)
        to->v[i] = _mm512_dpbusd_epi32(to->v[i], x->v[i], w->v[i]);
}

#endif
