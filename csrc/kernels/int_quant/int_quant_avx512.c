/* Symmetric integer quantisation of float32, and with dequantisation (fake), with AVX-512; see int_quant.h. */
#include "int_quant.h"

#if PQC_X86
#include "int_quant_avx512.h"

AVX512 void pqc_quantize_f32_avx512(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    __m512 mul = _mm512_set1_ps(q.mul), lo = _mm512_set1_ps(q.lo), hi = _mm512_set1_ps(q.hi);
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = quantize16(_mm512_maskz_loadu_ps(lanes, x + i), mul, lo, hi);
        _mm512_mask_storeu_ps(y + i, lanes, v);
    }
}

AVX512 void pqc_fake_quant_f32_avx512(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    fake_quant16 k = fake_quant16_init(q);
    ptrdiff_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512 a = fake16(_mm512_loadu_ps(x + i), k), b = fake16(_mm512_loadu_ps(x + i + 16), k);
        _mm512_storeu_ps(y + i, a);
        _mm512_storeu_ps(y + i + 16, b);
    }
    for (; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        _mm512_mask_storeu_ps(y + i, lanes, fake16(_mm512_maskz_loadu_ps(lanes, x + i), k));
    }
}

AVX512 void pqc_fake_quant_stream_f32_avx512(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    ptrdiff_t head = pqc_bytes_to(y, 64) / 4; /* up to a cache line boundary */
    if (((uintptr_t)y & 3) != 0 || n < head) {
        pqc_fake_quant_f32_avx512(x, y, n, q);
        return;
    }
    pqc_fake_quant_f32_avx512(x, y, head, q);
    fake_quant16 k = fake_quant16_init(q);
    ptrdiff_t i = head;
    for (; i + 16 <= n; i += 16)
        _mm512_stream_ps(y + i, fake16(_mm512_loadu_ps(x + i), k));
    _mm_sfence();
    pqc_fake_quant_f32_avx512(x + i, y + i, n - i, q);
}

AVX512 void pqc_quantize_each_f32_avx512(const float *x, float *y, ptrdiff_t n, const float *mul,
                                         const float *div, pqc_int_quant q)
{
    (void)div;
    __m512 lo = _mm512_set1_ps(q.lo), hi = _mm512_set1_ps(q.hi);
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = quantize16(_mm512_maskz_loadu_ps(lanes, x + i),
                              _mm512_maskz_loadu_ps(lanes, mul + i), lo, hi);
        _mm512_mask_storeu_ps(y + i, lanes, v);
    }
}

AVX512 void pqc_fake_quant_each_f32_avx512(const float *x, float *y, ptrdiff_t n, const float *mul,
                                           const float *div, pqc_int_quant q)
{
    __m512 lo = _mm512_set1_ps(q.lo), hi = _mm512_set1_ps(q.hi);
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = quantize16(_mm512_maskz_loadu_ps(lanes, x + i),
                              _mm512_maskz_loadu_ps(lanes, mul + i), lo, hi);
        __m512 d = _mm512_mask_loadu_ps(_mm512_set1_ps(1.0f), lanes, div + i);
        _mm512_mask_storeu_ps(y + i, lanes, _mm512_div_ps(v, d));
    }
}

#endif
