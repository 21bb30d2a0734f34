#include "half.h"

#if PQC_X86
#include "avx2.h"

AVX2 void pqc_f16_to_f32_avx2(const uint16_t *x, float *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(x + i));
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(h));
    }
    pqc_f16_to_f32_scalar(x + i, y + i, n - i);
}

AVX2 void pqc_f32_to_f16_avx2(const float *x, uint16_t *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(y + i), h);
    }
    pqc_f32_to_f16_scalar(x + i, y + i, n - i);
}

AVX2 void pqc_bf16_to_f32_avx2(const uint16_t *x, float *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(x + i)));
        _mm256_storeu_ps(y + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
    }
    pqc_bf16_to_f32_scalar(x + i, y + i, n - i);
}

/* The bfloat16 in the lower half of every lane, the upper half 0. */
AVX2 static inline __m256i to_bf16x8(__m256 x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    __m256 chosen = _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(quiet), nan);
    return _mm256_srli_epi32(_mm256_castps_si256(chosen), 16);
}

AVX2 void pqc_f32_to_bf16_avx2(const float *x, uint16_t *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i a = to_bf16x8(_mm256_loadu_ps(x + i)), b = to_bf16x8(_mm256_loadu_ps(x + i + 8));
        /* the pack works within halves: a0 b0 a1 b1, put into order by quarters */
        __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
        _mm256_storeu_si256((__m256i *)(y + i), both);
    }
    pqc_f32_to_bf16_scalar(x + i, y + i, n - i);
}

#endif
