#include "pqc.h"
#include "quantize_u8.h"

#if PQC_X86
#include "avx2.h"

typedef struct {
    __m256 mul, lo, hi, magic;
} constants;

/* 1.5 * 2^23 + zero: adding it rounds to an integer, ties to even, and leaves the byte in the
 * lowest 8 bits. */
AVX2 static inline constants constants_of(pqc_u8_quant q)
{
    return (constants){_mm256_set1_ps(q.mul), _mm256_set1_ps(q.lo), _mm256_set1_ps(q.hi),
                       _mm256_set1_ps(12582912.0f + (float)q.zero)};
}

/* max and min in this operand order keep NaN. */
AVX2 static inline __m256 clamped(__m256 x, constants c)
{
    return _mm256_min_ps(c.hi, _mm256_max_ps(c.lo, _mm256_mul_ps(x, c.mul)));
}

AVX2 static inline __m256i rounded(__m256 v, constants c)
{
    return _mm256_castps_si256(_mm256_add_ps(v, c.magic));
}

static inline unsigned flags_of(int nan, int below, pqc_u8_quant q)
{
    return (nan ? PQC_U8_NAN : 0u) | (below && q.zero == 0 ? PQC_U8_NEGATIVE : 0u);
}

AVX2 static inline __m256 less_than_zero(__m256 x)
{
    return _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ);
}

AVX2 static unsigned flat_row(const float *x, uint8_t *y, ptrdiff_t n, pqc_u8_quant q)
{
    constants c = constants_of(q);
    __m256 nan = _mm256_setzero_ps(), below = _mm256_setzero_ps();
    __m256i low_bytes =
        _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12,
                         -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        below = _mm256_or_ps(below, less_than_zero(v));
        v = clamped(v, c);
        nan = _mm256_or_ps(nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        __m256i bytes = _mm256_shuffle_epi8(rounded(v, c), low_bytes);
        __m128i eight =
            _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
        _mm_storel_epi64((__m128i *)(void *)(y + i), eight);
    }
    unsigned flags = flags_of(_mm256_movemask_ps(nan), _mm256_movemask_ps(below), q);
    return flags | pqc_quantize_u8_scalar(
                       &(pqc_u8_rows){.x = x + i, .y = y + i, .rows = 1, .n = n - i, .q = q});
}

AVX2 static unsigned quads_row(const float *x, ptrdiff_t stride, uint8_t *y, ptrdiff_t n,
                               pqc_u8_quant q)
{
    constants c = constants_of(q);
    __m256i magic_bits = _mm256_set1_epi32((int)(0x4B400000u ^ 0x4B400000u << 8));
    __m256 nan = _mm256_setzero_ps(), below = _mm256_setzero_ps();
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const float *at = x + i;
        __m256 v0 = _mm256_loadu_ps(at), v1 = _mm256_loadu_ps(at + stride);
        __m256 v2 = _mm256_loadu_ps(at + 2 * stride), v3 = _mm256_loadu_ps(at + 3 * stride);
        __m256 least = _mm256_min_ps(_mm256_min_ps(v0, v1), _mm256_min_ps(v2, v3));
        below = _mm256_or_ps(below,
                             less_than_zero(least)); /* a NaN may hide one, but is refused itself */
        v0 = clamped(v0, c);
        v1 = clamped(v1, c);
        v2 = clamped(v2, c);
        v3 = clamped(v3, c);
        nan = _mm256_or_ps(nan, _mm256_or_ps(_mm256_cmp_ps(v0, v1, _CMP_UNORD_Q),
                                             _mm256_cmp_ps(v2, v3, _CMP_UNORD_Q)));
        __m256i low = _mm256_xor_si256(rounded(v0, c), _mm256_slli_epi32(rounded(v1, c), 8));
        __m256i high = _mm256_xor_si256(_mm256_slli_epi32(rounded(v2, c), 16),
                                        _mm256_slli_epi32(rounded(v3, c), 24));
        __m256i quads = _mm256_xor_si256(_mm256_xor_si256(low, high), magic_bits);
        _mm256_storeu_si256((__m256i *)(void *)(y + 4 * i), quads);
    }
    unsigned flags = flags_of(_mm256_movemask_ps(nan), _mm256_movemask_ps(below), q);
    return flags | pqc_quantize_u8_quads_scalar(&(pqc_u8_rows){.x = x + i,
                                                               .y = y + 4 * i,
                                                               .rows = 1,
                                                               .n = n - i,
                                                               .channel = stride,
                                                               .channels = 4,
                                                               .q = q});
}

AVX2 unsigned pqc_quantize_u8_avx2(const pqc_u8_rows *r)
{
    unsigned flags = 0;
    for (ptrdiff_t row = 0; row < r->rows; row++)
        flags |= flat_row(r->x + row * r->x_row, r->y + row * r->y_row, r->n, r->q);
    return flags;
}

AVX2 unsigned pqc_quantize_u8_quads_avx2(const pqc_u8_rows *r)
{
    unsigned flags = 0;
    if (r->channels != 4)
        return pqc_quantize_u8_quads_scalar(r);
    for (ptrdiff_t row = 0; row < r->rows; row++)
        flags |= quads_row(r->x + row * r->x_row, r->channel, r->y + row * r->y_row, r->n, r->q);
    return flags;
}

#endif
