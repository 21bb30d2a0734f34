/* float32 quantised to bytes, flat or as c4 blocks, with AVX2; see pack_u8.h. */
#include "pqc.h"
#include "pack_u8.h"

#if PQC_X86
#include "avx2.h"

#include <string.h>

#define INLINE AVX2 PQC_INLINE

typedef struct {
    __m256 mul, lo, hi;
    __m256i zero; /* in 16 bits */
    bool is_unsigned;
} constants;

/* For the flags: whether there was a NaN, and the smallest value of an unsigned format. */
typedef struct {
    __m256 nan, least;
} seen;

AVX2 static inline constants constants_of(pqc_u8_quant q)
{
    return (constants){_mm256_set1_ps(q.mul), _mm256_set1_ps(q.lo), _mm256_set1_ps(q.hi),
                       _mm256_set1_epi16((short)q.zero), q.zero == 0};
}

AVX2 static inline unsigned flags_of(seen s)
{
    __m256 below = _mm256_cmp_ps(s.least, _mm256_setzero_ps(), _CMP_LT_OQ);
    return (_mm256_movemask_ps(s.nan) ? PQC_U8_NAN : 0u) |
           (_mm256_movemask_ps(below) ? PQC_U8_NEGATIVE : 0u);
}

/* With this operand order max and min keep NaN. */
INLINE __m256 clamped(__m256 x, constants c)
{
    return _mm256_min_ps(c.hi, _mm256_max_ps(c.lo, _mm256_mul_ps(x, c.mul)));
}

/* Converts 16 values to words, in the order 0-3, 8-11, 4-7, 12-15. */
INLINE __m256i words_of(__m256 a, __m256 b, constants c, seen *s)
{
    if (c.is_unsigned) /* a NaN may hide a smaller value, but is refused itself */
        s->least = _mm256_min_ps(s->least, _mm256_min_ps(a, b));
    a = clamped(a, c);
    b = clamped(b, c);
    s->nan = _mm256_or_ps(s->nan, _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
    return _mm256_add_epi16(words, c.zero);
}

INLINE void flat32(const float *x, uint8_t *y, constants c, seen *s)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i low = words_of(_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), c, s);
    __m256i high = words_of(_mm256_loadu_ps(x + 16), _mm256_loadu_ps(x + 24), c, s);
    __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
    _mm256_storeu_si256((__m256i *)(void *)y, bytes);
}

INLINE __m128i flat8(__m256 x, constants c, seen *s)
{
    __m256i words = words_of(x, x, c, s);
    __m256i bytes = _mm256_packus_epi16(words, words);
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
}

/* The last vector moves back so that it is full. */
AVX2 static void flat_row(const float *x, uint8_t *y, ptrdiff_t n, constants c, seen *s)
{
    if (n >= 32) {
        for (ptrdiff_t i = 0; i < n; i += 32) {
            ptrdiff_t at = pqc_min(i, n - 32);
            flat32(x + at, y + at, c, s);
        }
    } else if (n >= 8) {
        for (ptrdiff_t i = 0; i < n; i += 8) {
            ptrdiff_t at = pqc_min(i, n - 8);
            _mm_storel_epi64((__m128i *)(void *)(y + at), flat8(_mm256_loadu_ps(x + at), c, s));
        }
    } else {
        uint8_t bytes[8];
        _mm_storel_epi64((__m128i *)(void *)bytes, flat8(first_of(x, n), c, s));
        memcpy(y, bytes, (size_t)n);
    }
}

/* 8 values of each of 4 channels to 8 c4 blocks. */
INLINE __m256i quads_of(__m256 v0, __m256 v1, __m256 v2, __m256 v3, constants c, seen *s)
{
    const __m256i order = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0,
                                           4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m256i low = words_of(v0, v1, c, s), high = words_of(v2, v3, c, s);
    return _mm256_shuffle_epi8(_mm256_packus_epi16(low, high), order);
}

/* 8 pixels of C channels; missing channels are zeros. */
INLINE __m256i quads8(const float *x, ptrdiff_t channel, const int C, constants c, seen *s)
{
    const __m256 none = _mm256_setzero_ps();
    return quads_of(_mm256_loadu_ps(x), C > 1 ? _mm256_loadu_ps(x + channel) : none,
                    C > 2 ? _mm256_loadu_ps(x + 2 * channel) : none,
                    C > 3 ? _mm256_loadu_ps(x + 3 * channel) : none, c, s);
}

INLINE __m256i few_quads(const float *x, ptrdiff_t channel, ptrdiff_t n, const int C, constants c,
                         seen *s)
{
    const __m256 none = _mm256_setzero_ps();
    return quads_of(first_of(x, n), C > 1 ? first_of(x + channel, n) : none,
                    C > 2 ? first_of(x + 2 * channel, n) : none,
                    C > 3 ? first_of(x + 3 * channel, n) : none, c, s);
}

INLINE void quads_row(const float *x, ptrdiff_t channel, uint8_t *y, ptrdiff_t n, const int C,
                      constants c, seen *s)
{
    if (n < 8) {
        __m256i c4 = few_quads(x, channel, n, C, c, s);
        memcpy(y, &c4, (size_t)(4 * n));
        return;
    }
    for (ptrdiff_t i = 0; i < n; i += 8) {
        ptrdiff_t at = pqc_min(i, n - 8);
        _mm256_storeu_si256((__m256i *)(void *)(y + 4 * at), quads8(x + at, channel, C, c, s));
    }
}

INLINE void put_some(uint8_t *y, const uint32_t *c4, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n && y; i++)
        memcpy(y + 4 * i, c4 + i, 4);
}

/* Stores the c4 blocks of n <= 8 pixels, those of even pixels to `even`, those of odd ones to `odd`. */
INLINE void put_apart(__m256i c4, uint8_t *even, uint8_t *odd, ptrdiff_t n)
{
    const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    c4 = _mm256_permutevar8x32_epi32(c4, order);
    if (n < 8) {
        uint32_t some[8];
        _mm256_storeu_si256((__m256i *)(void *)some, c4);
        put_some(even, some, (n + 1) / 2);
        put_some(odd, some + 4, n / 2);
        return;
    }
    if (even)
        _mm_storeu_si128((__m128i *)(void *)even, _mm256_castsi256_si128(c4));
    if (odd)
        _mm_storeu_si128((__m128i *)(void *)odd, _mm256_extracti128_si256(c4, 1));
}

/* The last full vector moves back to an even pixel, which may leave one pixel over. */
INLINE void quads_row_apart(const float *x, ptrdiff_t channel, uint8_t *even, uint8_t *odd,
                            ptrdiff_t n, const int C, constants c, seen *s)
{
    ptrdiff_t whole = n >= 8 ? n / 2 * 2 : 0;
    for (ptrdiff_t i = 0; i < whole; i += 8) {
        ptrdiff_t at = pqc_min(i, whole - 8);
        put_apart(quads8(x + at, channel, C, c, s), even ? even + 2 * at : NULL,
                  odd ? odd + 2 * at : NULL, 8);
    }
    if (whole < n)
        put_apart(few_quads(x + whole, channel, n - whole, C, c, s), even ? even + 2 * whole : NULL,
                  odd ? odd + 2 * whole : NULL, n - whole);
}

INLINE unsigned quads_rows_apart(const pqc_u8_rows *rows, const int C)
{
    const pqc_u8_rows r = *rows;
    constants c = constants_of(r.q);
    seen s = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (ptrdiff_t row = 0; row < r.rows; row++)
        quads_row_apart(r.x + row * r.x_row, r.channel, r.y ? r.y + row * r.y_row : NULL,
                        r.odd ? r.odd + row * r.y_row : NULL, r.n, C, c, &s);
    return flags_of(s);
}

INLINE unsigned quads_rows(const pqc_u8_rows *rows, const int C)
{
    if (rows->deinterleave)
        return quads_rows_apart(rows, C);
    /* a copy: otherwise compilers assume that storing bytes changes *rows */
    const pqc_u8_rows r = *rows;
    constants c = constants_of(r.q);
    seen s = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (ptrdiff_t row = 0; row < r.rows; row++)
        quads_row(r.x + row * r.x_row, r.channel, r.y + row * r.y_row, r.n, C, c, &s);
    return flags_of(s);
}

AVX2 unsigned pqc_pack_u8_avx2(const pqc_u8_rows *rows)
{
    const pqc_u8_rows r = *rows;
    constants c = constants_of(r.q);
    seen s = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (ptrdiff_t row = 0; row < r.rows; row++)
        flat_row(r.x + row * r.x_row, r.y + row * r.y_row, r.n, c, &s);
    return flags_of(s);
}

AVX2 unsigned pqc_pack_u8_c4_avx2(const pqc_u8_rows *rows)
{
    switch (rows->channels) {
    case 1:
        return quads_rows(rows, 1);
    case 2:
        return quads_rows(rows, 2);
    case 3:
        return quads_rows(rows, 3);
    default:
        return quads_rows(rows, 4);
    }
}

#endif
