/* Rounding of float32 to 4 to 8 bit floats and back, with AVX-512; see float_quant.h. */
#include "float_quant.h"

#if PQC_X86
#include "float_quant_avx512.h"

/* rounded / div where |x| >= tiny or x is NaN, else +0. */
AVX512 static inline __m512 divide_or_zero16(__m512 x, __m512 rounded, __m512 div, __m512 tiny)
{
    __mmask16 keep = _mm512_cmp_ps_mask(_mm512_abs_ps(x), tiny, _CMP_NLT_UQ);
    return _mm512_maskz_div_ps(keep, rounded, div);
}

AVX512 void pqc_float_quant_f32_avx512(const float *x, float *y, ptrdiff_t n, pqc_float_scale q,
                                       const pqc_float_format *f)
{
    __m512 mul = _mm512_set1_ps(q.mul), div = _mm512_set1_ps(q.div), tiny = _mm512_set1_ps(f->tiny);
    format16 format = format16_of(f);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        __m512 rounded = nearest16(_mm512_mul_ps(v, mul), format);
        _mm512_storeu_ps(y + i, divide_or_zero16(v, rounded, div, tiny));
    }
    if (i < n) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = _mm512_maskz_loadu_ps(lanes, x + i);
        __m512 rounded = nearest16(_mm512_mul_ps(v, mul), format);
        _mm512_mask_storeu_ps(y + i, lanes, divide_or_zero16(v, rounded, div, tiny));
    }
}

AVX512 void pqc_float_quant_each_f32_avx512(const float *x, float *y, ptrdiff_t n, const float *mul,
                                            const float *div, const pqc_float_format *f)
{
    __m512 tiny = _mm512_set1_ps(f->tiny);
    format16 format = format16_of(f);
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = _mm512_maskz_loadu_ps(lanes, x + i);
        __m512 rounded = nearest16(_mm512_mul_ps(v, _mm512_maskz_loadu_ps(lanes, mul + i)), format);
        __m512 d = _mm512_maskz_loadu_ps(lanes, div + i);
        _mm512_mask_storeu_ps(y + i, lanes, divide_or_zero16(v, rounded, d, tiny));
    }
}

#endif
