/* Rounding of float32 to 4 to 8 bit floats and back, with AVX2; see float_quant.h. */
#include "float_quant.h"

#if PQC_X86
#include "float_quant_avx2.h"

/* y where |x| >= tiny or x is NaN, else +0. */
AVX2 static inline __m256 zero_tiny8(__m256 x, __m256 y, __m256 tiny)
{
    return _mm256_and_ps(_mm256_cmp_ps(abs8(x), tiny, _CMP_NLT_UQ), y);
}

AVX2 static void by_division(const float *x, float *y, ptrdiff_t n, pqc_float_scale q,
                             const pqc_float_format *f)
{
    __m256 mul = _mm256_set1_ps(q.mul), div = _mm256_set1_ps(q.div), tiny = _mm256_set1_ps(f->tiny);
    format8 format = format8_of(f);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256 rounded = nearest8(_mm256_mul_ps(v, mul), format);
        _mm256_storeu_ps(y + i, zero_tiny8(v, _mm256_div_ps(rounded, div), tiny));
    }
    pqc_float_quant_f32_scalar(x + i, y + i, n - i, q, f);
}

AVX2 void pqc_float_quant_f32_avx2(const float *x, float *y, ptrdiff_t n, pqc_float_scale q,
                                   const pqc_float_format *f)
{
    if (!pqc_reciprocal_is_safe(q.div)) {
        by_division(x, y, n, q, f);
        return;
    }
    __m256 mul = _mm256_set1_ps(q.mul), div = _mm256_set1_ps(q.div), tiny = _mm256_set1_ps(f->tiny);
    __m256 reciprocal = _mm256_set1_ps(1.0f / q.div);
    format8 format = format8_of(f);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256 rounded = nearest8(_mm256_mul_ps(v, mul), format);
        _mm256_storeu_ps(y + i, zero_tiny8(v, divide8(rounded, div, reciprocal), tiny));
    }
    pqc_float_quant_f32_scalar(x + i, y + i, n - i, q, f);
}

AVX2 void pqc_float_quant_each_f32_avx2(const float *x, float *y, ptrdiff_t n, const float *mul,
                                        const float *div, const pqc_float_format *f)
{
    __m256 tiny = _mm256_set1_ps(f->tiny);
    format8 format = format8_of(f);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256 rounded = nearest8(_mm256_mul_ps(v, _mm256_loadu_ps(mul + i)), format);
        __m256 quotient = _mm256_div_ps(rounded, _mm256_loadu_ps(div + i));
        _mm256_storeu_ps(y + i, zero_tiny8(v, quotient, tiny));
    }
    pqc_float_quant_each_f32_scalar(x + i, y + i, n - i, mul + i, div + i, f);
}

#endif
