#include "int_quant.h"

#if PQC_X86
#include "avx2.h"

/* max(lo, v) and min(hi, v) return their second operand if one is NaN: NaN passes. */
AVX2 static inline __m256 quantize8(__m256 x, __m256 mul, __m256 lo, __m256 hi)
{
    __m256 v =
        _mm256_round_ps(_mm256_mul_ps(x, mul), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm256_min_ps(hi, _mm256_max_ps(lo, v));
}

AVX2 void pqc_quantize_f32_avx2(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    __m256 mul = _mm256_set1_ps(q.mul), lo = _mm256_set1_ps(q.lo), hi = _mm256_set1_ps(q.hi);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, quantize8(_mm256_loadu_ps(x + i), mul, lo, hi));
    pqc_quantize_f32_scalar(x + i, y + i, n - i, q);
}

AVX2 static void fake_quant_by_division(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    __m256 mul = _mm256_set1_ps(q.mul), lo = _mm256_set1_ps(q.lo), hi = _mm256_set1_ps(q.hi);
    __m256 div = _mm256_set1_ps(q.div);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_div_ps(quantize8(_mm256_loadu_ps(x + i), mul, lo, hi), div));
    pqc_fake_quant_f32_scalar(x + i, y + i, n - i, q);
}

AVX2 void pqc_fake_quant_f32_avx2(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    if (!pqc_reciprocal_is_safe(q.div)) {
        fake_quant_by_division(x, y, n, q);
        return;
    }
    __m256 mul = _mm256_set1_ps(q.mul), lo = _mm256_set1_ps(q.lo), hi = _mm256_set1_ps(q.hi);
    __m256 div = _mm256_set1_ps(q.div), reciprocal = _mm256_set1_ps(1.0f / q.div);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = quantize8(_mm256_loadu_ps(x + i), mul, lo, hi);
        __m256 b = quantize8(_mm256_loadu_ps(x + i + 8), mul, lo, hi);
        _mm256_storeu_ps(y + i, divide8(a, div, reciprocal));
        _mm256_storeu_ps(y + i + 8, divide8(b, div, reciprocal));
    }
    if (i + 8 <= n) {
        __m256 a = quantize8(_mm256_loadu_ps(x + i), mul, lo, hi);
        _mm256_storeu_ps(y + i, divide8(a, div, reciprocal));
        i += 8;
    }
    pqc_fake_quant_f32_scalar(x + i, y + i, n - i, q);
}

AVX2 void pqc_fake_quant_stream_f32_avx2(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    ptrdiff_t head = (ptrdiff_t)((64 - ((uintptr_t)y & 63)) & 63) / 4; /* to a line of its own */
    if (!pqc_reciprocal_is_safe(q.div) || ((uintptr_t)y & 3) != 0 || n < head) {
        pqc_fake_quant_f32_avx2(x, y, n, q);
        return;
    }
    pqc_fake_quant_f32_avx2(x, y, head, q);
    __m256 mul = _mm256_set1_ps(q.mul), lo = _mm256_set1_ps(q.lo), hi = _mm256_set1_ps(q.hi);
    __m256 div = _mm256_set1_ps(q.div), reciprocal = _mm256_set1_ps(1.0f / q.div);
    ptrdiff_t i = head;
    for (; i + 16 <= n; i += 16) {
        __m256 a = quantize8(_mm256_loadu_ps(x + i), mul, lo, hi);
        __m256 b = quantize8(_mm256_loadu_ps(x + i + 8), mul, lo, hi);
        _mm256_stream_ps(y + i, divide8(a, div, reciprocal));
        _mm256_stream_ps(y + i + 8, divide8(b, div, reciprocal));
    }
    _mm_sfence();
    pqc_fake_quant_f32_avx2(x + i, y + i, n - i, q);
}

AVX2 void pqc_quantize_each_f32_avx2(const float *x, float *y, ptrdiff_t n, const float *mul,
                                     const float *div, pqc_int_quant q)
{
    __m256 lo = _mm256_set1_ps(q.lo), hi = _mm256_set1_ps(q.hi);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i,
                         quantize8(_mm256_loadu_ps(x + i), _mm256_loadu_ps(mul + i), lo, hi));
    pqc_quantize_each_f32_scalar(x + i, y + i, n - i, mul + i, div + i, q);
}

AVX2 void pqc_fake_quant_each_f32_avx2(const float *x, float *y, ptrdiff_t n, const float *mul,
                                       const float *div, pqc_int_quant q)
{
    __m256 lo = _mm256_set1_ps(q.lo), hi = _mm256_set1_ps(q.hi);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = quantize8(_mm256_loadu_ps(x + i), _mm256_loadu_ps(mul + i), lo, hi);
        _mm256_storeu_ps(y + i, _mm256_div_ps(v, _mm256_loadu_ps(div + i)));
    }
    pqc_fake_quant_each_f32_scalar(x + i, y + i, n - i, mul + i, div + i, q);
}

#endif
