/* erf and GELU of 8 floats, with the operations of elementary_scalar.h; coefficients are looked up by two
 * permutations. */
#ifndef PQC_ELEMENTARY_AVX2_H
#define PQC_ELEMENTARY_AVX2_H

#include "avx2.h"
#include "elementary_scalar.h"

AVX2 PQC_INLINE __m256 coefficient8(int k, __m256i i, __m256 high)
{
    const float *row = pqc_erf_table[k];
    __m256 a = _mm256_permutevar8x32_ps(_mm256_loadu_ps(row), i);
    return _mm256_blendv_ps(a, _mm256_permutevar8x32_ps(_mm256_loadu_ps(row + 8), i), high);
}

AVX2 PQC_INLINE __m256 erf8(__m256 x)
{
    const __m256 round = _mm256_set1_ps(0x1p23f), four = _mm256_set1_ps(4.0f);
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    __m256 a = _mm256_andnot_ps(sign, x);
    __m256 near = _mm256_min_ps(_mm256_set1_ps(PQC_ERF_ONE), a); /* NaN stays NaN */
    __m256 shifted = _mm256_fmadd_ps(near, four, round);
    __m256 t = _mm256_fmadd_ps(near, four, _mm256_sub_ps(round, shifted));
    /* bit 3 selects the half of the table, the bits below it the entry */
    __m256i i = _mm256_castps_si256(shifted);
    __m256 high = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28));
    __m256 p = coefficient8(PQC_ERF_DEGREE, i, high);
    PQC_UNROLL(8)
    for (int k = PQC_ERF_DEGREE - 1; k >= 0; k--)
        p = _mm256_fmadd_ps(p, t, coefficient8(k, i, high));
    __m256 small = _mm256_cmp_ps(a, _mm256_set1_ps(PQC_ERF_SMALL), _CMP_LT_OQ);
    __m256 large = _mm256_cmp_ps(a, _mm256_set1_ps(PQC_ERF_ONE), _CMP_GE_OQ);
    p = _mm256_blendv_ps(p, _mm256_fmadd_ps(p, a, a), small);
    p = _mm256_blendv_ps(p, one, large);
    return _mm256_or_ps(p, _mm256_and_ps(sign, x));
}

AVX2 PQC_INLINE __m256 gelu8(__m256 x)
{
    __m256 y = erf8(_mm256_mul_ps(x, _mm256_set1_ps(0x1.6a09e6p-1f)));
    y = _mm256_mul_ps(_mm256_add_ps(y, _mm256_set1_ps(1.0f)), x);
    return _mm256_mul_ps(y, _mm256_set1_ps(0.5f));
}

#endif
