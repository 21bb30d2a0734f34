/* Blocks of float32 that share a step, and element codes of up to 8 bits, with AVX2; see block_quant.h. */
#include "block_quant.h"

#if PQC_X86
#include "float_quant/float_quant_avx2.h"

AVX2 void pqc_block_quant_f32_avx2(const float *x, float *y, ptrdiff_t n, float step, float back,
                                   const pqc_float_format *f)
{
    ptrdiff_t i = 0;
    if (step != 0.0f) {
        __m256 divisor = _mm256_set1_ps(step), factor = _mm256_set1_ps(back);
        format8 format = format8_of(f);
        for (; i + 8 <= n; i += 8) {
            __m256 v = _mm256_div_ps(_mm256_loadu_ps(x + i), divisor);
            _mm256_storeu_ps(y + i, _mm256_mul_ps(nearest8(v, format), factor));
        }
    }
    pqc_block_quant_f32_scalar(x + i, y + i, n - i, step, back, f);
}

/* Stores the low bytes of 8 dwords. */
AVX2 static inline void store_bytes8(uint8_t *to, __m256i dwords)
{
    __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(dwords), _mm256_extracti128_si256(dwords, 1));
    _mm_storel_epi64((__m128i *)(void *)to, _mm_packus_epi16(words, words));
}

AVX2 void pqc_encode_elements_avx2(const float *q, uint8_t *codes, ptrdiff_t n,
                                   const pqc_float_format *f)
{
    pqc_encoding e = pqc_encoding_of(f);
    __m256 normal = _mm256_set1_ps(e.normal);
    __m256i rebias = _mm256_set1_epi32(e.rebias), sub = _mm256_set1_epi32(e.rebias_subnormal);
    __m128i shift = _mm_cvtsi32_si128(e.shift), sign_shift = _mm_cvtsi32_si128(e.sign_shift);
    __m256i nan = _mm256_set1_epi32(f->nan_code), top = _mm256_set1_epi32(INT32_MIN);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(q + i), size = abs8(v);
        __m256 is_normal = _mm256_cmp_ps(size, normal, _CMP_GE_OQ);
        __m256 taken = _mm256_blendv_ps(_mm256_add_ps(size, normal), size, is_normal);
        __m256i less = _mm256_blendv_epi8(sub, rebias, _mm256_castps_si256(is_normal));
        __m256i code = _mm256_sub_epi32(_mm256_srl_epi32(_mm256_castps_si256(taken), shift), less);
        __m256i sign = _mm256_and_si256(_mm256_castps_si256(v), top);
        code = _mm256_or_si256(code, _mm256_srl_epi32(sign, sign_shift));
        __m256 is_nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
        store_bytes8(codes + i, _mm256_blendv_epi8(code, nan, _mm256_castps_si256(is_nan)));
    }
    pqc_encode_elements_scalar(q + i, codes + i, n - i, f);
}

AVX2 void pqc_decode_elements_avx2(const uint8_t *codes, float *y, ptrdiff_t n, const float *table,
                                   float step)
{
    __m256 factor = _mm256_set1_ps(step);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(codes + i));
        __m256 values = _mm256_i32gather_ps(table, _mm256_cvtepu8_epi32(bytes), 4);
        _mm256_storeu_ps(y + i, _mm256_mul_ps(values, factor));
    }
    pqc_decode_elements_scalar(codes + i, y + i, n - i, table, step);
}

#endif
