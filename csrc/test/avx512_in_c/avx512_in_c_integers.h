/* The part of avx512_in_c.h, which includes it, about integers, conversions and permutations. */
#ifndef PQC_AVX512_IN_C_INTEGERS_H
#define PQC_AVX512_IN_C_INTEGERS_H

IN_C int32_t to_int(double whole)
{
    return whole >= INT_MIN && whole <= INT_MAX ? (int32_t)whole : INT_MIN;
}

/* Conversions. */
UNARY(_mm512_cvtepi32_ps, __m512i, i32x16, __m512, f32x16, 16, (float)a[i])
UNARY(_mm512_cvtps_epi32, __m512, f32x16, __m512i, i32x16, 16, to_int(nearbyintf(a[i])))
UNARY(_mm512_cvttps_epi32, __m512, f32x16, __m512i, i32x16, 16, to_int(truncf(a[i])))
UNARY(_mm512_cvttpd_epi32, __m512d, f64x8, __m256i, i32x8, 8, to_int(trunc(a[i])))
UNARY(_mm512_cvtpd_ps, __m512d, f64x8, __m256, __m256, 8, (float)a[i])
UNARY(_mm512_cvtepi32_epi8, __m512i, i32x16, __m128i, i8x16, 16, (int8_t)a[i])
UNARY(_mm512_cvtepi32_epi16, __m512i, i32x16, __m256i, i16x16, 16, (int16_t)a[i])
UNARY(_mm512_cvtsepi32_epi16, __m512i, i32x16, __m256i, i16x16, 16,
      (int16_t)pqc_clamp(a[i], INT16_MIN, INT16_MAX))
UNARY(_mm512_cvtepi16_epi32, __m256i, i16x16, __m512i, i32x16, 16, a[i])
UNARY(_mm512_cvtepu8_epi16, __m256i, u8x32, __m512i, i16x32, 32, a[i])
UNARY(_mm512_cvtepu8_epi32, __m128i, u8x16, __m512i, i32x16, 16, a[i])
UNARY(_mm512_cvtepu16_epi32, __m256i, u16x16, __m512i, i32x16, 16, a[i])
UNARY(round_to_even, __m512, f32x16, __m512, f32x16, 16, nearbyintf(a[i]))
#define _mm512_roundscale_ps(a, mode) round_to_even(a) /* to the nearest, as MXCSR says too */

IN_C __m512 _mm512_cvtph_ps(__m256i a)
{
    __m512 low = _mm512_castps256_ps512(_mm256_cvtph_ps(_mm256_castsi256_si128(a)));
    return _mm512_insertf32x8(low, _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1)), 1);
}

IN_C __m256 half_of(__m512 a, int which)
{
    return (__m256)_mm512_extracti64x4_epi64((__m512i)a, which);
}
#define _mm512_cvtps_ph(a, mode)                                                                   \
    _mm256_set_m128i(_mm256_cvtps_ph(half_of(a, 1), mode), _mm256_cvtps_ph(half_of(a, 0), mode))

/* Arithmetic. */
BINARY(_mm512_add_epi8, __m512i, u8x64, 64, a[i] + b[i])
BINARY(_mm512_add_epi16, __m512i, u16x32, 32, (uint16_t)(a[i] + b[i]))
BINARY(_mm512_add_epi32, __m512i, u32x16, 16, a[i] + b[i])
BINARY(_mm512_add_epi64, __m512i, u64x8, 8, a[i] + b[i])
BINARY(_mm512_sub_epi16, __m512i, u16x32, 32, (uint16_t)(a[i] - b[i]))
BINARY(_mm512_sub_epi32, __m512i, u32x16, 16, a[i] - b[i])
BINARY(_mm512_sub_epi64, __m512i, u64x8, 8, a[i] - b[i])
BINARY(_mm512_sub_epi8, __m512i, u8x64, 64, (uint8_t)(a[i] - b[i]))
BINARY(_mm512_mullo_epi32, __m512i, u32x16, 16, a[i] * b[i])
BINARY(_mm512_max_epi32, __m512i, i32x16, 16, a[i] > b[i] ? a[i] : b[i])
BINARY(_mm512_min_epi32, __m512i, i32x16, 16, a[i] < b[i] ? a[i] : b[i])
BINARY(_mm512_max_epu32, __m512i, u32x16, 16, a[i] > b[i] ? a[i] : b[i])
BINARY(_mm512_min_epu32, __m512i, u32x16, 16, a[i] < b[i] ? a[i] : b[i])
BINARY(_mm512_max_epu8, __m512i, u8x64, 64, a[i] > b[i] ? a[i] : b[i])
BINARY(_mm512_min_epu8, __m512i, u8x64, 64, a[i] < b[i] ? a[i] : b[i])
BINARY(_mm512_min_epu16, __m512i, u16x32, 32, a[i] < b[i] ? a[i] : b[i])
BINARY(_mm512_max_epi16, __m512i, i16x32, 32, a[i] > b[i] ? a[i] : b[i])
BINARY(_mm512_min_epi16, __m512i, i16x32, 32, a[i] < b[i] ? a[i] : b[i])
BINARY(_mm512_adds_epi16, __m512i, i16x32, 32, pqc_clamp(a[i] + b[i], INT16_MIN, INT16_MAX))
BINARY(_mm512_and_si512, __m512i, u64x8, 8, a[i] & b[i])
BINARY(_mm512_xor_si512, __m512i, u64x8, 8, a[i] ^ b[i])
BINARY(or_si512, __m512i, u64x8, 8, a[i] | b[i])
BINARY(second, __m512i, u64x8, 8, ((void)a, b[i]))
MASKED(_mm512_mask_min_epi32, _mm512_min_epi32, __m512i, i32x16, 16)
MASKED(_mm512_mask_sub_epi32, _mm512_sub_epi32, __m512i, i32x16, 16)
MASKED(_mm512_mask_or_epi32, or_si512, __m512i, i32x16, 16)
MASKED_OR_ZERO(_mm512_maskz_and_epi32, _mm512_and_si512, __m512i, i32x16, 16)
MASKED_OR_ZERO(maskz_second_epi8, second, __m512i, i8x64, 64)
#define _mm512_or_si512(a, b) or_si512(a, b)
#define _mm512_mask_mov_epi32(other, mask, a) _mm512_mask_or_epi32(other, mask, a, a)
#define _mm512_mask_blend_epi32(mask, a, b) _mm512_mask_mov_epi32(a, mask, b)
#define _mm512_maskz_mov_epi8(mask, a) maskz_second_epi8(mask, a, a)

#define SHIFT(name, lanes, n, expression)                                                          \
    IN_C __m512i name(__m512i x, unsigned by)                                                      \
    {                                                                                              \
        lanes a = (lanes)x;                                                                        \
        LANES(n) a[i] = (expression);                                                              \
        return (__m512i)a;                                                                         \
    }
SHIFT(_mm512_slli_epi16, u16x32, 32, by < 16 ? (uint16_t)(a[i] << by) : 0)
SHIFT(_mm512_srai_epi32, i32x16, 16, a[i] >> (by < 31 ? by : 31))
SHIFT(_mm512_slli_epi32, u32x16, 16, by < 32 ? a[i] << by : 0)
SHIFT(_mm512_srli_epi32, u32x16, 16, by < 32 ? a[i] >> by : 0)
SHIFT(_mm512_srli_epi16, u16x32, 32, by < 16 ? (uint16_t)(a[i] >> by) : 0)
SHIFT(_mm512_srli_epi64, u64x8, 8, by < 64 ? a[i] >> by : 0)

IN_C __m512i _mm512_srl_epi32(__m512i x, __m128i by)
{
    return _mm512_srli_epi32(x, (unsigned)_mm_cvtsi128_si32(by));
}

IN_C __m512 _mm512_i32gather_ps(__m512i at, const void *from, int size)
{
    i32x16 index = (i32x16)at;
    f32x16 r;
    LANES(16) memcpy((char *)&r + 4 * i, (const char *)from + (ptrdiff_t)index[i] * size, 4);
    return (__m512)r;
}
SHIFT(_mm512_rol_epi32, u32x16, 16, a[i] << (by & 31) | a[i] >> (-by & 31))
SHIFT(sra_epi64, i64x8, 8, a[i] >> (by < 63 ? by : 63))
#define _mm512_sra_epi64(a, by) sra_epi64(a, (unsigned)_mm_cvtsi128_si32(by))

/* Bit 4a + 2b + c of the table, for each bit. */
IN_C __m512i _mm512_ternarylogic_epi32(__m512i a, __m512i b, __m512i c, int table)
{
    __m512i r = {0};
    for (int row = 0; row < 8; row++)
        if (IS_SET(table, row))
            r |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
    return r;
}

IN_C uint32_t _mm512_reduce_max_epu32(__m512i x)
{
    u32x16 a = (u32x16)x;
    uint32_t most = a[0];
    LANES(16) most = a[i] > most ? a[i] : most;
    return most;
}

COMPARE(_mm512_cmpeq_epi32_mask, __m512i, i32x16, 16, a[i] == b[i])
COMPARE(_mm512_test_epi32_mask, __m512i, i32x16, 16, (a[i] & b[i]) != 0)
COMPARE(_mm512_cmplt_epu16_mask, __m512i, u16x32, 32, a[i] < b[i])
COMPARE(_mm512_cmplt_epi8_mask, __m512i, i8x64, 64, a[i] < b[i])
COMPARE(_mm512_cmpge_epi8_mask, __m512i, i8x64, 64, a[i] >= b[i])
#define _mm512_movepi32_mask(a) _mm512_test_epi32_mask(a, _mm512_set1_epi32(INT_MIN))
#define _mm_popcnt_u32(a) __builtin_popcount(a)

/* Dot products of four bytes, unsigned by signed. */
#define DPBUSD(name, vector, sums, unsigned_bytes, signed_bytes, n)                                \
    IN_C vector name(vector sum, vector x, vector y)                                               \
    {                                                                                              \
        sums r = (sums)sum;                                                                        \
        unsigned_bytes a = (unsigned_bytes)x;                                                      \
        signed_bytes b = (signed_bytes)y;                                                          \
        LANES(n)                                                                                   \
        r[i] = (int32_t)((uint32_t)r[i] +                                                          \
                         (uint32_t)(a[4 * i] * b[4 * i] + a[4 * i + 1] * b[4 * i + 1] +            \
                                    a[4 * i + 2] * b[4 * i + 2] + a[4 * i + 3] * b[4 * i + 3]));   \
        return (vector)r;                                                                          \
    }
DPBUSD(_mm512_dpbusd_epi32, __m512i, i32x16, u8x64, i8x64, 16)
DPBUSD(_mm256_dpbusd_epi32, __m256i, i32x8, u8x32, i8x32, 8)

/* Dot products of two words; those of AVX-512 BW have no sum to add to. */
#define DPWSSD(name, vector, sums, words, n)                                                       \
    IN_C vector name(vector sum, vector x, vector y)                                               \
    {                                                                                              \
        sums r = (sums)sum;                                                                        \
        words a = (words)x, b = (words)y;                                                          \
        LANES(n)                                                                                   \
        r[i] = (int32_t)((uint32_t)r[i] + (uint32_t)(a[2 * i] * b[2 * i]) +                        \
                         (uint32_t)(a[2 * i + 1] * b[2 * i + 1]));                                 \
        return (vector)r;                                                                          \
    }
DPWSSD(_mm512_dpwssd_epi32, __m512i, i32x16, i16x32, 16)
DPWSSD(_mm256_dpwssd_epi32, __m256i, i32x8, i16x16, 8)
#define _mm512_madd_epi16(a, b) _mm512_dpwssd_epi32(_mm512_setzero_si512(), a, b)

/* Permutations; most stay within the 128-bit lanes. */
BINARY(_mm512_permutexvar_epi32, __m512i, i32x16, 16, b[a[i] & 15])
BINARY(_mm512_permutexvar_epi64, __m512i, i64x8, 8, b[a[i] & 7])
BINARY(_mm512_permutexvar_epi16, __m512i, i16x32, 32, b[a[i] & 31])
BINARY(_mm512_shuffle_epi8, __m512i, i8x64, 64, b[i] < 0 ? 0 : a[(i & 48) + (b[i] & 15)])
MASKED_OR_ZERO(_mm512_maskz_shuffle_epi8, _mm512_shuffle_epi8, __m512i, i8x64, 64)
BINARY(_mm512_unpacklo_epi8, __m512i, u8x64, 64, (i & 1 ? b : a)[(i & 48) + (i & 15) / 2])
BINARY(_mm512_unpackhi_epi8, __m512i, u8x64, 64, (i & 1 ? b : a)[(i & 48) + (i & 15) / 2 + 8])
BINARY(_mm512_unpacklo_epi16, __m512i, i16x32, 32, (i & 1 ? b : a)[(i & 24) + (i & 7) / 2])
BINARY(_mm512_unpackhi_epi16, __m512i, i16x32, 32, (i & 1 ? b : a)[(i & 24) + (i & 7) / 2 + 4])
BINARY(_mm512_unpacklo_ps, __m512, f32x16, 16, (i & 1 ? b : a)[(i & 12) + (i & 3) / 2])
BINARY(_mm512_unpackhi_ps, __m512, f32x16, 16, (i & 1 ? b : a)[(i & 12) + (i & 3) / 2 + 2])

IN_C __m512d _mm512_permutexvar_pd(__m512i index, __m512d a)
{
    __m512d r;
    LANES(8) r[i] = a[((i64x8)index)[i] & 7];
    return r;
}

IN_C __m512d _mm512_permutex2var_pd(__m512d a, __m512i index, __m512d b)
{
    __m512d r;
    LANES(8)
    {
        int64_t at = ((i64x8)index)[i] & 15;
        r[i] = at < 8 ? a[at] : b[at - 8];
    }
    return r;
}

IN_C __m512i _mm512_permutex2var_epi16(__m512i a, __m512i index, __m512i b)
{
    i16x32 r;
    LANES(32)
    {
        int at = ((i16x32)index)[i] & 63;
        r[i] = at < 32 ? ((i16x32)a)[at] : ((i16x32)b)[at - 32];
    }
    return (__m512i)r;
}

IN_C __m512 _mm512_shuffle_ps(__m512 a, __m512 b, int order)
{
    __m512 r;
    LANES(16) r[i] = (i & 2 ? b : a)[(i & 12) + (order >> 2 * (i & 3) & 3)];
    return r;
}

IN_C __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int order)
{
    __m512 r;
    LANES(16) r[i] = (i & 8 ? b : a)[4 * (order >> 2 * (i / 4) & 3) + (i & 3)];
    return r;
}

#define _mm512_shuffle_i32x4(a, b, order)                                                          \
    ((__m512i)_mm512_shuffle_f32x4((__m512)(a), (__m512)(b), order))
#define _mm512_shuffle_i64x2(a, b, order) _mm512_shuffle_i32x4(a, b, order)

IN_C __m512i _mm512_broadcast_i32x4(__m128i a)
{
    i32x16 r;
    LANES(16) r[i] = ((i32x4)a)[i & 3];
    return (__m512i)r;
}

IN_C __m512i _mm512_packs_epi32(__m512i a, __m512i b)
{
    i16x32 r;
    LANES(32)
    {
        int32_t value = ((i32x16)(i & 4 ? b : a))[i / 8 * 4 + (i & 3)];
        r[i] = pqc_clamp(value, INT16_MIN, INT16_MAX);
    }
    return (__m512i)r;
}

IN_C __m512i _mm512_packus_epi16(__m512i a, __m512i b)
{
    u8x64 r;
    LANES(64)
    {
        int16_t value = ((i16x32)(i & 8 ? b : a))[i / 16 * 8 + (i & 7)];
        r[i] = pqc_clamp(value, 0, UINT8_MAX);
    }
    return (__m512i)r;
}

IN_C __m512i _mm512_maskz_compress_epi32(__mmask16 mask, __m512i a)
{
    i32x16 r = {0};
    int to = 0;
    LANES(16)
    if (IS_SET(mask, i))
        r[to++] = ((i32x16)a)[i];
    return (__m512i)r;
}

#endif
