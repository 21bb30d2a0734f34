/* float16 and bfloat16 to float32 and back, with AVX-512; see half.h. */
#include "half.h"

#if PQC_X86
#include "half_avx512.h"

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

AVX512 void pqc_f32_to_bf16_avx512(const float *x, uint16_t *y, ptrdiff_t n)
{
    __m512i words = odd_words();
    ptrdiff_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512i a = to_bf16x16(_mm512_loadu_ps(x + i));
        __m512i b = to_bf16x16(_mm512_loadu_ps(x + i + 16));
        _mm512_storeu_si512(y + i, _mm512_permutex2var_epi16(a, words, b));
    }
    for (; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512i a = to_bf16x16(_mm512_maskz_loadu_ps(lanes, x + i));
        _mm256_mask_storeu_epi16(y + i, lanes, _mm512_cvtepi32_epi16(_mm512_srli_epi32(a, 16)));
    }
}

#endif
