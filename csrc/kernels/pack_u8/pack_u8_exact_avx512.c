/* Any float32, NaN and huge values included, quantised to bytes, with AVX-512: the slow path of pack_u8_avx512.c. */
#include "pqc.h"
#include "pack_u8.h"

#if PQC_X86
#include "pack_u8_avx512.h"

typedef struct {
    __m512 mul, lo, hi, magic;
} constants;

/* 1.5 * 2^23 + zero: adding it rounds to an integer, ties to even, and leaves the byte in the lowest 8 bits. */
AVX512 static inline constants constants_of(pqc_u8_quant q)
{
    return (constants){_mm512_set1_ps(q.mul), _mm512_set1_ps(q.lo), _mm512_set1_ps(q.hi),
                       _mm512_set1_ps(12582912.0f + (float)q.zero)};
}

/* With this operand order max and min keep NaN. */
AVX512 static inline __m512 clamped(__m512 x, constants c)
{
    return _mm512_min_ps(c.hi, _mm512_max_ps(c.lo, _mm512_mul_ps(x, c.mul)));
}

AVX512 static inline __m512i rounded(__m512 v, constants c)
{
    return _mm512_castps_si512(_mm512_add_ps(v, c.magic));
}

AVX512 static inline __mmask16 negative(__m512 x)
{
    return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
}

static inline unsigned flags_of(unsigned nan, unsigned below)
{
    return (nan ? PQC_U8_NAN : 0u) | (below ? PQC_U8_NEGATIVE : 0u);
}

AVX512 unsigned pqc_pack_u8_exact_avx512(const pqc_u8_rows *rows)
{
    /* a copy: otherwise compilers assume that storing bytes changes *rows */
    const pqc_u8_rows r = *rows;
    constants c = constants_of(r.q);
    __mmask16 nan = 0, below = 0;
    for (ptrdiff_t row = 0; row < r.rows; row++) {
        const float *x = r.x + row * r.x_row;
        uint8_t *y = r.y + row * r.y_row;
        for (ptrdiff_t i = 0; i < r.n; i += 16) {
            __mmask16 lanes = tail16(r.n - i);
            __m512 v = _mm512_maskz_loadu_ps(lanes, x + i);
            if (r.q.zero == 0)
                below = _kor_mask16(below, negative(v));
            v = clamped(v, c);
            nan = _kor_mask16(nan, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q));
            __m128i bytes = _mm512_cvtepi32_epi8(rounded(v, c));
            if (r.n - i >= 16)
                _mm_storeu_si128((__m128i *)(void *)(y + i), bytes);
            else
                _mm_mask_storeu_epi8(y + i, lanes, bytes);
        }
    }
    return flags_of(nan, below);
}

/* Four rows of 16 numbers to 16 dwords.  The bits of the magic number fall off the top of every shifted row except
 * the second. */
AVX512 static inline __m512i interleave(__m512i a, __m512i b, __m512i c, __m512i d,
                                        __m512i magic_bits)
{
    __m512i low = _mm512_ternarylogic_epi32(a, _mm512_slli_epi32(b, 8), magic_bits, 0x96);
    return _mm512_ternarylogic_epi32(low, _mm512_slli_epi32(c, 16), _mm512_slli_epi32(d, 24), 0x96);
}

typedef struct {
    __mmask16 nan, below;
} seen;

/* One row; missing channels are read as zeros, which gives `zero`. */
AVX512 static inline seen quads_row(pqc_u8_rows r, const float *x, uint8_t *y, uint8_t *odd,
                                    constants c, __m512i magic_bits)
{
    seen found = {0, 0};
    ptrdiff_t d1 = r.channels > 1 ? r.channel : 0, d2 = r.channels > 2 ? 2 * r.channel : 0;
    ptrdiff_t d3 = r.channels > 3 ? 3 * r.channel : 0;
    __mmask16 has1 = r.channels > 1 ? 0xffff : 0, has2 = r.channels > 2 ? 0xffff : 0;
    __mmask16 has3 = r.channels > 3 ? 0xffff : 0;
    for (ptrdiff_t i = 0; i < r.n; i += 16) {
        __mmask16 lanes = tail16(r.n - i);
        __m512 v0 = _mm512_maskz_loadu_ps(lanes, x + i);
        __m512 v1 = _mm512_maskz_loadu_ps(lanes & has1, x + d1 + i);
        __m512 v2 = _mm512_maskz_loadu_ps(lanes & has2, x + d2 + i);
        __m512 v3 = _mm512_maskz_loadu_ps(lanes & has3, x + d3 + i);
        if (r.q.zero == 0)
            found.below |= negative(v0) | negative(v1) | negative(v2) | negative(v3);
        v0 = clamped(v0, c);
        v1 = clamped(v1, c);
        v2 = clamped(v2, c);
        v3 = clamped(v3, c);
        found.nan = _kor_mask16(found.nan, _mm512_cmp_ps_mask(v0, v1, _CMP_UNORD_Q));
        found.nan = _kor_mask16(found.nan, _mm512_cmp_ps_mask(v2, v3, _CMP_UNORD_Q));
        __m512i c4 =
            interleave(rounded(v0, c), rounded(v1, c), rounded(v2, c), rounded(v3, c), magic_bits);
        if (r.deinterleave)
            put_apart(c4, y ? y + 2 * i : NULL, odd ? odd + 2 * i : NULL, r.n - i);
        else
            store(c4, y + 4 * i, r.n - i);
    }
    return found;
}

AVX512 unsigned pqc_pack_u8_c4_exact_avx512(const pqc_u8_rows *rows)
{
    const pqc_u8_rows r = *rows;
    constants c = constants_of(r.q);
    __m512i magic_bits = _mm512_set1_epi32((int)(0x4B400000u ^ 0x4B400000u << 8));
    unsigned nan = 0, below = 0;
    for (ptrdiff_t row = 0; row < r.rows; row++) {
        seen found = quads_row(r, r.x + row * r.x_row, r.y ? r.y + row * r.y_row : NULL,
                               r.odd ? r.odd + row * r.y_row : NULL, c, magic_bits);
        nan |= found.nan;
        below |= found.below;
    }
    return flags_of(nan, below);
}

#endif
