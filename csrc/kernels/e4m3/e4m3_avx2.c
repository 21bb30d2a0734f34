#include "e4m3.h"

#if PQC_X86
#include "avx2.h"

/* max(lo, v) and min(hi, v) return their second operand if one is NaN: NaN passes. */
AVX2 static inline __m256 round_e4m3x8(__m256 v)
{
    v = _mm256_max_ps(_mm256_set1_ps(-PQC_E4M3_MAX), v);
    v = _mm256_min_ps(_mm256_set1_ps(PQC_E4M3_MAX), v);
    __m256i bits = _mm256_castps_si256(v);
    __m256i exponent = _mm256_and_si256(bits, _mm256_set1_epi32(PQC_E4M3_EXPONENT));
    exponent = _mm256_max_epi32(exponent, _mm256_set1_epi32(PQC_E4M3_NORMAL));
    exponent = _mm256_add_epi32(exponent, _mm256_set1_epi32(PQC_E4M3_MAGIC));
    __m256 magic = _mm256_castsi256_ps(exponent);
    __m256 rounded = _mm256_sub_ps(_mm256_add_ps(v, magic), magic);
    return _mm256_or_ps(rounded, _mm256_and_ps(v, _mm256_set1_ps(-0.0f)));
}

/* y where |x| >= 2^-24 or x is NaN, +0 elsewhere. */
AVX2 static inline __m256 zero_tiny8(__m256 x, __m256 y)
{
    return _mm256_and_ps(_mm256_cmp_ps(abs8(x), _mm256_set1_ps(PQC_E4M3_ZERO), _CMP_NLT_UQ), y);
}

AVX2 static void e4m3_by_division(const float *x, float *y, ptrdiff_t n, pqc_e4m3 q)
{
    __m256 mul = _mm256_set1_ps(q.mul), div = _mm256_set1_ps(q.div);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256 rounded = round_e4m3x8(_mm256_mul_ps(v, mul));
        _mm256_storeu_ps(y + i, zero_tiny8(v, _mm256_div_ps(rounded, div)));
    }
    pqc_e4m3_f32_scalar(x + i, y + i, n - i, q);
}

AVX2 void pqc_e4m3_f32_avx2(const float *x, float *y, ptrdiff_t n, pqc_e4m3 q)
{
    if (!pqc_reciprocal_is_safe(q.div)) {
        e4m3_by_division(x, y, n, q);
        return;
    }
    __m256 mul = _mm256_set1_ps(q.mul), div = _mm256_set1_ps(q.div);
    __m256 reciprocal = _mm256_set1_ps(1.0f / q.div);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256 rounded = round_e4m3x8(_mm256_mul_ps(v, mul));
        _mm256_storeu_ps(y + i, zero_tiny8(v, divide8(rounded, div, reciprocal)));
    }
    pqc_e4m3_f32_scalar(x + i, y + i, n - i, q);
}

AVX2 void pqc_e4m3_each_f32_avx2(const float *x, float *y, ptrdiff_t n, const float *mul,
                                 const float *div)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256 rounded = round_e4m3x8(_mm256_mul_ps(v, _mm256_loadu_ps(mul + i)));
        __m256 quotient = _mm256_div_ps(rounded, _mm256_loadu_ps(div + i));
        _mm256_storeu_ps(y + i, zero_tiny8(v, quotient));
    }
    pqc_e4m3_each_f32_scalar(x + i, y + i, n - i, mul + i, div + i);
}

#endif
