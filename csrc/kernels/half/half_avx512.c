#include "half.h"

#if PQC_X86
#include "avx512.h"

AVX512 void pqc_f16_to_f32_avx512(const uint16_t *x, float *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x + i))));
    if (i < n) {
        __mmask16 lanes = tail16(n - i);
        _mm512_mask_storeu_ps(y + i, lanes,
                              _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, x + i)));
    }
}

AVX512 void pqc_f32_to_f16_avx512(const float *x, uint16_t *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i h = _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i *)(y + i), h);
    }
    if (i < n) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = _mm512_maskz_loadu_ps(lanes, x + i);
        _mm256_mask_storeu_epi16(y + i, lanes, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    }
}

AVX512 static inline __m512 from_bf16x16(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

AVX512 void pqc_bf16_to_f32_avx512(const uint16_t *x, float *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, from_bf16x16(_mm256_loadu_si256((const __m256i *)(x + i))));
    if (i < n) {
        __mmask16 lanes = tail16(n - i);
        _mm512_mask_storeu_ps(y + i, lanes, from_bf16x16(_mm256_maskz_loadu_epi16(lanes, x + i)));
    }
}

/* The bfloat16 in the upper half of every lane; the lower half is left over. */
AVX512 static inline __m512i to_bf16x16(__m512 x)
{
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
}

AVX512 void pqc_f32_to_bf16_avx512(const float *x, uint16_t *y, ptrdiff_t n)
{
    /* the odd words of two vectors, 1, 3, ... 63: lane j holds 4j + 1 and 4j + 3 */
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i odd_words = _mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32(0x40004)),
                                         _mm512_set1_epi32(0x30001));
    ptrdiff_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512i a = to_bf16x16(_mm512_loadu_ps(x + i));
        __m512i b = to_bf16x16(_mm512_loadu_ps(x + i + 16));
        _mm512_storeu_si512(y + i, _mm512_permutex2var_epi16(a, odd_words, b));
    }
    for (; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512i a = to_bf16x16(_mm512_maskz_loadu_ps(lanes, x + i));
        _mm256_mask_storeu_epi16(y + i, lanes, _mm512_cvtepi32_epi16(_mm512_srli_epi32(a, 16)));
    }
}

#endif
