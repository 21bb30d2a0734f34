/* Straight-through gradient of a quantiser, clipped at amax, float32, with AVX2; see ste.h. */
#include "ste.h"

#if PQC_X86
#include "avx2.h"

AVX2 static inline __m256 pass8(__m256 x, __m256 grad, __m256 amax)
{
    return _mm256_and_ps(_mm256_cmp_ps(abs8(x), amax, _CMP_LE_OQ), grad);
}

AVX2 void pqc_ste_f32_avx2(const float *x, const float *grad, float *y, ptrdiff_t n, float amax)
{
    __m256 limit = _mm256_set1_ps(amax);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, pass8(_mm256_loadu_ps(x + i), _mm256_loadu_ps(grad + i), limit));
    pqc_ste_f32_scalar(x + i, grad + i, y + i, n - i, amax);
}

AVX2 void pqc_ste_each_f32_avx2(const float *x, const float *grad, float *y, ptrdiff_t n,
                                const float *amax)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, pass8(_mm256_loadu_ps(x + i), _mm256_loadu_ps(grad + i),
                                      _mm256_loadu_ps(amax + i)));
    pqc_ste_each_f32_scalar(x + i, grad + i, y + i, n - i, amax + i);
}

#endif
