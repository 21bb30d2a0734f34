/* Scale and bias of a float32 row that has a scale of its own, with AVX2; see rescale_row.h. */
#include "rescale_row.h"

#if PQC_X86
#include "avx2.h"

AVX2 static inline __m128 scale4(__m256d row, const double *inverse)
{
    return _mm256_cvtpd_ps(_mm256_mul_pd(row, _mm256_loadu_pd(inverse)));
}

AVX2 void pqc_rescale_row_avx2(float *y, ptrdiff_t n, double row, const double *inverse,
                               const float *bias)
{
    __m256d factor = _mm256_set1_pd(row);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 scale =
            _mm256_set_m128(scale4(factor, inverse + i + 4), scale4(factor, inverse + i));
        __m256 sum = _mm256_loadu_ps(y + i);
        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(sum, scale, _mm256_loadu_ps(bias + i)));
    }
    pqc_rescale_row_scalar(y + i, n - i, row, inverse + i, bias + i);
}

#endif
