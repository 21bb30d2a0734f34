/* Fake quantisation of float16 and bfloat16, computed in float32, with AVX-512; see fake_quant_half.h. */
#include "fake_quant_half.h"

#if PQC_X86
#include "half/half_avx512.h"
#include "int_quant/int_quant_avx512.h"

AVX512 void pqc_fake_quant_f16_avx512(const uint16_t *x, uint16_t *y, ptrdiff_t n, pqc_int_quant q)
{
    fake_quant16 k = fake_quant16_init(q);
    ptrdiff_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512 a = fake16(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x + i))), k);
        __m512 b = fake16(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x + i + 16))), k);
        _mm256_storeu_si256((__m256i *)(y + i), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
        _mm256_storeu_si256((__m256i *)(y + i + 16), _mm512_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT));
    }
    for (; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 a = fake16(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, x + i)), k);
        _mm256_mask_storeu_epi16(y + i, lanes, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
    }
}

AVX512 void pqc_fake_quant_bf16_avx512(const uint16_t *x, uint16_t *y, ptrdiff_t n, pqc_int_quant q)
{
    fake_quant16 k = fake_quant16_init(q);
    __m512i words = odd_words();
    ptrdiff_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512 a = fake16(from_bf16x16(_mm256_loadu_si256((const __m256i *)(x + i))), k);
        __m512 b = fake16(from_bf16x16(_mm256_loadu_si256((const __m256i *)(x + i + 16))), k);
        _mm512_storeu_si512(y + i, _mm512_permutex2var_epi16(to_bf16x16(a), words, to_bf16x16(b)));
    }
    for (; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 a = fake16(from_bf16x16(_mm256_maskz_loadu_epi16(lanes, x + i)), k);
        __m512i h = _mm512_srli_epi32(to_bf16x16(a), 16);
        _mm256_mask_storeu_epi16(y + i, lanes, _mm512_cvtepi32_epi16(h));
    }
}

#endif
