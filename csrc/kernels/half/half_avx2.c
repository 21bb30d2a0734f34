/* float16 and bfloat16 to float32 and back, with AVX2; see half.h. */
#include "half.h"

#if PQC_X86
#include "half_avx2.h"

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
        _mm256_storeu_ps(y + i, from_bf16x8(_mm_loadu_si128((const __m128i *)(x + i))));
    }
    pqc_bf16_to_f32_scalar(x + i, y + i, n - i);
}

AVX2 void pqc_f32_to_bf16_avx2(const float *x, uint16_t *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i a = to_bf16x8(_mm256_loadu_ps(x + i)), b = to_bf16x8(_mm256_loadu_ps(x + i + 8));
        _mm256_storeu_si256((__m256i *)(y + i), join_bf16x16(a, b));
    }
    pqc_f32_to_bf16_scalar(x + i, y + i, n - i);
}

#endif
