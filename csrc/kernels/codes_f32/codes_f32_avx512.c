/* Codes of one or two bytes to float32 and back, with AVX-512; see codes_f32.h. */
#include "codes_f32_scalar.h"

#if PQC_X86

#include <immintrin.h>

PQC_TARGET_AVX512 void pqc_decode_f32_avx512(const pqc_pixels *form, const void *restrict codes,
                                             float *restrict y, ptrdiff_t n)
{
    decode_loops(form, codes, y, n);
}

/* Encoding constants, and what to check in the end: the smallest integer met, which NaN becomes, and the smallest x. */
typedef struct {
    __m512 mul, lo, hi;
    __m512i zero, least;
    __m512 smallest;
} encoder;

/* Encodes 16 numbers.  NaN passes both bounds and becomes INT32_MIN. */
PQC_TARGET_AVX512 PQC_INLINE __m512i encode16(encoder *e, __m512 x, bool refuses)
{
    __m512 scaled = _mm512_max_ps(e->lo, _mm512_mul_ps(x, e->mul));
    __m512i code = _mm512_cvtps_epi32(_mm512_min_ps(e->hi, scaled));
    e->least = _mm512_min_epi32(e->least, code);
    if (refuses)
        e->smallest = _mm512_min_ps(x, e->smallest); /* NaN leaves it unchanged */
    return _mm512_add_epi32(code, e->zero);
}

/* The first `left` of 16 numbers at x; the other lanes are 0. */
PQC_TARGET_AVX512 PQC_INLINE __m512 load16(const float *x, ptrdiff_t left)
{
    return _mm512_maskz_loadu_ps((__mmask16)(left >= 16 ? 0xffff
                                             : left > 0 ? (1 << left) - 1
                                                        : 0),
                                 x);
}

PQC_TARGET_AVX512 PQC_INLINE __m512i join_bytes(__m512i a, __m512i b, __m512i c, __m512i d)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(
        order, _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d)));
}

PQC_TARGET_AVX512 PQC_INLINE void encode_bytes(encoder *e, const float *restrict x,
                                               uint8_t *restrict codes, ptrdiff_t n, bool refuses)
{
    ptrdiff_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i a = encode16(e, _mm512_loadu_ps(x + i), refuses);
        __m512i b = encode16(e, _mm512_loadu_ps(x + i + 16), refuses);
        __m512i c = encode16(e, _mm512_loadu_ps(x + i + 32), refuses);
        __m512i d = encode16(e, _mm512_loadu_ps(x + i + 48), refuses);
        _mm512_storeu_si512(codes + i, join_bytes(a, b, c, d));
    }
    if (i < n) {
        ptrdiff_t left = n - i;
        __m512i a = encode16(e, load16(x + i, left), refuses);
        __m512i b = encode16(e, load16(x + i + 16, left - 16), refuses);
        __m512i c = encode16(e, load16(x + i + 32, left - 32), refuses);
        __m512i d = encode16(e, load16(x + i + 48, left - 48), refuses);
        _mm512_mask_storeu_epi8(codes + i, ((uint64_t)1 << left) - 1, join_bytes(a, b, c, d));
    }
}

PQC_TARGET_AVX512 PQC_INLINE void encode_words(encoder *e, const float *restrict x,
                                               int16_t *restrict codes, ptrdiff_t n)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    for (ptrdiff_t i = 0; i < n; i += 32) {
        ptrdiff_t left = n - i;
        __m512i a = encode16(e, load16(x + i, left), true);
        __m512i b = encode16(e, load16(x + i + 16, left - 16), true);
        __mmask32 some = left >= 32 ? UINT32_MAX : ((uint32_t)1 << left) - 1;
        _mm512_mask_storeu_epi16(codes + i, some,
                                 _mm512_permutexvar_epi64(order, _mm512_packs_epi32(a, b)));
    }
}

PQC_TARGET_AVX512 unsigned pqc_encode_f32_avx512(const pqc_pixels *form, const float *restrict x,
                                                 void *restrict codes, ptrdiff_t n)
{
    encoder e = {_mm512_set1_ps(form->mul),    _mm512_set1_ps(form->lo),
                 _mm512_set1_ps(form->hi),     _mm512_set1_epi32(form->zero),
                 _mm512_set1_epi32(INT32_MAX), _mm512_setzero_ps()};
    if (form->content == PQC_FLOATS) {
        memmove(codes, x, (size_t)n * sizeof *x);
        return 0;
    }
    if (form->content == PQC_U8_CODES && form->refuses_negative)
        encode_bytes(&e, x, codes, n, true);
    else if (form->content == PQC_U8_CODES)
        encode_bytes(&e, x, codes, n, false);
    else
        encode_words(&e, x, codes, n);
    const __m512i nan = _mm512_set1_epi32(INT32_MIN);
    unsigned flags = _mm512_cmpeq_epi32_mask(e.least, nan) ? PQC_U8_NAN : 0;
    if (form->refuses_negative && _mm512_cmp_ps_mask(e.smallest, _mm512_setzero_ps(), _CMP_LT_OQ))
        flags |= PQC_U8_NEGATIVE;
    return flags;
}

#endif
