/* Symmetric integer quantisation of float32, and with dequantisation (fake), with AVX2; see int_quant.h. */
#include "int_quant.h"

#if PQC_X86
#include "int_quant_avx2.h"

AVX2 void pqc_quantize_f32_avx2(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    __m256 mul = _mm256_set1_ps(q.mul), lo = _mm256_set1_ps(q.lo), hi = _mm256_set1_ps(q.hi);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, quantize8(_mm256_loadu_ps(x + i), mul, lo, hi));
    pqc_quantize_f32_scalar(x + i, y + i, n - i, q);
}

AVX2 void pqc_fake_quant_f32_avx2(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    fake_quant8 k = fake_quant8_init(q);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = fake8(_mm256_loadu_ps(x + i), k), b = fake8(_mm256_loadu_ps(x + i + 8), k);
        _mm256_storeu_ps(y + i, a);
        _mm256_storeu_ps(y + i + 8, b);
    }
    if (i + 8 <= n) {
        _mm256_storeu_ps(y + i, fake8(_mm256_loadu_ps(x + i), k));
        i += 8;
    }
    pqc_fake_quant_f32_scalar(x + i, y + i, n - i, q);
}

AVX2 void pqc_fake_quant_stream_f32_avx2(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    ptrdiff_t head = pqc_bytes_to(y, 64) / 4; /* up to a cache line boundary */
    if (((uintptr_t)y & 3) != 0 || n < head) {
        pqc_fake_quant_f32_avx2(x, y, n, q);
        return;
    }
    pqc_fake_quant_f32_avx2(x, y, head, q);
    fake_quant8 k = fake_quant8_init(q);
    ptrdiff_t i = head;
    for (; i + 16 <= n; i += 16) {
        __m256 a = fake8(_mm256_loadu_ps(x + i), k), b = fake8(_mm256_loadu_ps(x + i + 8), k);
        _mm256_stream_ps(y + i, a);
        _mm256_stream_ps(y + i + 8, b);
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
