/* Shared by the AVX-512 bodies: 64 values to bytes by packing, and where c4 blocks are stored. */
#ifndef PQC_PACK_U8_AVX512_H
#define PQC_PACK_U8_AVX512_H

#include "avx512.h"
#include "pack_u8.h"

/* For any values, with flags; these take over what packing cannot handle. */
pqc_pack_u8_fn pqc_pack_u8_exact_avx512, pqc_pack_u8_c4_exact_avx512;

typedef struct {
    __m512 mul;
    __m512i zero, low, high; /* zero in 16 bits; low and high in 8 */
} pack_constants;

AVX512 static inline pack_constants pack_constants_of(pqc_u8_quant q)
{
    return (pack_constants){_mm512_set1_ps(q.mul), _mm512_set1_epi16((short)q.zero),
                            _mm512_set1_epi8((char)((int)q.lo + q.zero)),
                            _mm512_set1_epi8((char)((int)q.hi + q.zero))};
}

/* What to check the values for: nothing if they are bounded. */
typedef enum { PACK_SIGNED, PACK_UNSIGNED, PACK_BOUNDED } pack_kind;

AVX512 static inline pack_kind pack_kind_of(pqc_u8_quant q)
{
    return q.bounded ? PACK_BOUNDED : q.zero == 0 ? PACK_UNSIGNED : PACK_SIGNED;
}

/* Packs four vectors to bytes: each 128-bit lane holds that lane of the first vector, then of the second, and so on.
 * Values beyond 32 bits become the smallest integer, which is right for large negative ones only; *seen (initially
 * zeros) records whether there was one and, for an unsigned format, whether an x had its sign bit set. */
AVX512 PQC_INLINE __m512i pack(const __m512 *x, const pack_kind kind, pack_constants c,
                               __m512i *seen)
{
    __m512i q[4];
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        q[i] = _mm512_cvtps_epi32(_mm512_mul_ps(x[i], c.mul));
        if (kind == PACK_UNSIGNED)
            *seen = _mm512_ternarylogic_epi32(*seen, _mm512_castps_si512(x[i]), q[i], 0xfe);
        else if (kind == PACK_SIGNED)
            *seen = _mm512_min_epi32(*seen, q[i]);
    }
    __m512i words0 = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), c.zero);
    __m512i words1 = _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), c.zero);
    __m512i bytes = _mm512_packus_epi16(words0, words1);
    return kind == PACK_BOUNDED ? bytes : _mm512_min_epu8(c.high, _mm512_max_epu8(c.low, bytes));
}

AVX512 PQC_INLINE bool is_strange(__m512i seen, const pack_kind kind)
{
    return kind == PACK_UNSIGNED
               ? _mm512_movepi32_mask(seen) != 0
               : kind == PACK_SIGNED &&
                     _mm512_cmpeq_epi32_mask(seen, _mm512_set1_epi32(INT32_MIN)) != 0;
}

/* Permutes packed bytes into the order of the four vectors. */
AVX512 PQC_INLINE __m512i in_order(__m512i packed)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, packed);
}

/* Stores the first `left` of 16 c4 blocks. */
AVX512 static inline void store(__m512i c4, uint8_t *y, ptrdiff_t left)
{
    if (left >= 16)
        _mm512_storeu_si512(y, c4);
    else
        _mm512_mask_storeu_epi32(y, tail16(left), c4);
}

AVX512 static inline void put_half(__m256i c4, uint8_t *y, ptrdiff_t left)
{
    if (y && left >= 8)
        _mm256_storeu_si256((__m256i *)(void *)y, c4);
    else if (y)
        _mm256_mask_storeu_epi32(y, (__mmask8)((1u << left) - 1u), c4);
}

AVX512 static inline void put_apart(__m512i c4, uint8_t *even, uint8_t *odd, ptrdiff_t left)
{
    const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    c4 = _mm512_permutexvar_epi32(order, c4);
    put_half(_mm512_castsi512_si256(c4), even, (left + 1) / 2);
    put_half(_mm512_extracti64x4_epi64(c4, 1), odd, left / 2);
}

#endif
