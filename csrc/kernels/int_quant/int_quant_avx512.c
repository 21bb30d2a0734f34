#include "int_quant.h"

#if PQC_X86
#include "avx512.h"

/* max(lo, v) and min(hi, v) return their second operand if one is NaN: NaN passes. */
AVX512 static inline __m512 quantize16(__m512 x, __m512 mul, __m512 lo, __m512 hi)
{
    __m512 v =
        _mm512_roundscale_ps(_mm512_mul_ps(x, mul), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm512_min_ps(hi, _mm512_max_ps(lo, v));
}

AVX512 void pqc_quantize_f32_avx512(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    __m512 mul = _mm512_set1_ps(q.mul), lo = _mm512_set1_ps(q.lo), hi = _mm512_set1_ps(q.hi);
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = quantize16(_mm512_maskz_loadu_ps(lanes, x + i), mul, lo, hi);
        _mm512_mask_storeu_ps(y + i, lanes, v);
    }
}

/* The true division costs nothing here: 2.5 cycles for 16 lanes are less than their loads and
 * stores. */
AVX512 void pqc_fake_quant_f32_avx512(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    __m512 mul = _mm512_set1_ps(q.mul), lo = _mm512_set1_ps(q.lo), hi = _mm512_set1_ps(q.hi);
    __m512 div = _mm512_set1_ps(q.div);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i,
                         _mm512_div_ps(quantize16(_mm512_loadu_ps(x + i), mul, lo, hi), div));
    if (i < n) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = quantize16(_mm512_maskz_loadu_ps(lanes, x + i), mul, lo, hi);
        _mm512_mask_storeu_ps(y + i, lanes, _mm512_div_ps(v, div));
    }
}

AVX512 void pqc_fake_quant_stream_f32_avx512(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    ptrdiff_t head = (ptrdiff_t)((64 - ((uintptr_t)y & 63)) & 63) / 4; /* to a line of its own */
    if (((uintptr_t)y & 3) != 0 || n < head) {
        pqc_fake_quant_f32_avx512(x, y, n, q);
        return;
    }
    pqc_fake_quant_f32_avx512(x, y, head, q);
    __m512 mul = _mm512_set1_ps(q.mul), lo = _mm512_set1_ps(q.lo), hi = _mm512_set1_ps(q.hi);
    __m512 div = _mm512_set1_ps(q.div);
    ptrdiff_t i = head;
    for (; i + 16 <= n; i += 16)
        _mm512_stream_ps(y + i,
                         _mm512_div_ps(quantize16(_mm512_loadu_ps(x + i), mul, lo, hi), div));
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
