/* Affine fake quantisation of float32 with one step and zero point, with AVX2; see affine.h. */
#include "affine.h"

#if PQC_X86
#include <immintrin.h>

#define AVX2 PQC_TARGET_AVX2

/* max(lo, v) and min(hi, v) return their second operand if one is NaN: NaN passes. */
AVX2 void pqc_affine_f32_avx2(const float *x, float *y, ptrdiff_t n, pqc_affine p)
{
    __m256 step = _mm256_set1_ps(p.step), zero = _mm256_set1_ps(p.zero);
    __m256 lo = _mm256_set1_ps(p.lo), hi = _mm256_set1_ps(p.hi);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_round_ps(_mm256_div_ps(_mm256_loadu_ps(x + i), step),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        v = _mm256_min_ps(hi, _mm256_max_ps(lo, _mm256_sub_ps(v, zero)));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_add_ps(v, zero), step));
    }
    pqc_affine_f32_scalar(x + i, y + i, n - i, p);
}

#endif
