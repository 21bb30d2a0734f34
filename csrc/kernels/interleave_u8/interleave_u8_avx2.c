/* Planes of bytes to pixels, channels last, with AVX2; see interleave_u8.h. */
#include "interleave_u8.h"

#if PQC_X86
#include "avx2.h"

/* Shuffles for three channels: row 3 * k + c says which pixel of channel c goes to each byte of result vector k; -1:
 * not from this channel. */
static const int8_t places[9][16] = {
    {0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5},
    {-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1},
    {-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1},
    {-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1},
    {5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10},
    {-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1},
    {-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1},
    {-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1},
    {10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15}};

AVX2 PQC_INLINE __m128i load16(const void *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

AVX2 PQC_INLINE void store16(uint8_t *at, __m128i x)
{
    _mm_storeu_si128((__m128i *)(void *)at, x);
}

AVX2 PQC_INLINE void interleave2(const uint8_t *const *plane, ptrdiff_t i, uint8_t *y)
{
    __m128i a = load16(plane[0] + i), b = load16(plane[1] + i);
    store16(y, _mm_unpacklo_epi8(a, b));
    store16(y + 16, _mm_unpackhi_epi8(a, b));
}

AVX2 PQC_INLINE void interleave3(const uint8_t *const *plane, ptrdiff_t i, uint8_t *y)
{
    __m128i x[3] = {load16(plane[0] + i), load16(plane[1] + i), load16(plane[2] + i)};
    PQC_UNROLL(3)
    for (int k = 0; k < 3; k++) {
        __m128i a = _mm_shuffle_epi8(x[0], load16(places[3 * k]));
        __m128i b = _mm_shuffle_epi8(x[1], load16(places[3 * k + 1]));
        __m128i c = _mm_shuffle_epi8(x[2], load16(places[3 * k + 2]));
        store16(y + 16 * k, _mm_or_si128(_mm_or_si128(a, b), c));
    }
}

AVX2 PQC_INLINE void interleave4(const uint8_t *const *plane, ptrdiff_t i, uint8_t *y)
{
    __m128i a = load16(plane[0] + i), b = load16(plane[1] + i);
    __m128i c = load16(plane[2] + i), d = load16(plane[3] + i);
    __m128i ab[2] = {_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)};
    __m128i cd[2] = {_mm_unpacklo_epi8(c, d), _mm_unpackhi_epi8(c, d)};
    PQC_UNROLL(2)
    for (int k = 0; k < 2; k++) {
        store16(y + 32 * k, _mm_unpacklo_epi16(ab[k], cd[k]));
        store16(y + 32 * k + 16, _mm_unpackhi_epi16(ab[k], cd[k]));
    }
}

AVX2 void pqc_interleave_u8_avx2(const uint8_t *const *plane, int channels, ptrdiff_t n,
                                 uint8_t *restrict y)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        uint8_t *to = y + i * channels;
        if (channels == 4)
            interleave4(plane, i, to);
        else if (channels == 3)
            interleave3(plane, i, to);
        else if (channels == 2)
            interleave2(plane, i, to);
        else
            store16(to, load16(plane[0] + i));
    }
    pqc_interleave_u8_rest(plane, channels, i, n, y);
}

#endif
