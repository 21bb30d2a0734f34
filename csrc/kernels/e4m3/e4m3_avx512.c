#include "e4m3.h"

#if PQC_X86
#include "avx512.h"

/* max(lo, v) and min(hi, v) return their second operand if one is NaN: NaN passes. */
AVX512 static inline __m512 round_e4m3x16(__m512 v)
{
    v = _mm512_max_ps(_mm512_set1_ps(-PQC_E4M3_MAX), v);
    v = _mm512_min_ps(_mm512_set1_ps(PQC_E4M3_MAX), v);
    __m512i bits = _mm512_castps_si512(v);
    __m512i exponent = _mm512_and_si512(bits, _mm512_set1_epi32(PQC_E4M3_EXPONENT));
    exponent = _mm512_max_epi32(exponent, _mm512_set1_epi32(PQC_E4M3_NORMAL));
    exponent = _mm512_add_epi32(exponent, _mm512_set1_epi32(PQC_E4M3_MAGIC));
    __m512 magic = _mm512_castsi512_ps(exponent);
    __m512 rounded = _mm512_sub_ps(_mm512_add_ps(v, magic), magic);
    enum { A_OR_B_AND_C = 0xf8 };
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(
        _mm512_castps_si512(rounded), bits, _mm512_set1_epi32(INT32_MIN), A_OR_B_AND_C));
}

/* rounded / div where |x| >= 2^-24 or x is NaN, +0 elsewhere. */
AVX512 static inline __m512 divide_or_zero16(__m512 x, __m512 rounded, __m512 div)
{
    __mmask16 keep =
        _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(PQC_E4M3_ZERO), _CMP_NLT_UQ);
    return _mm512_maskz_div_ps(keep, rounded, div);
}

AVX512 void pqc_e4m3_f32_avx512(const float *x, float *y, ptrdiff_t n, pqc_e4m3 q)
{
    __m512 mul = _mm512_set1_ps(q.mul), div = _mm512_set1_ps(q.div);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        __m512 rounded = round_e4m3x16(_mm512_mul_ps(v, mul));
        _mm512_storeu_ps(y + i, divide_or_zero16(v, rounded, div));
    }
    if (i < n) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = _mm512_maskz_loadu_ps(lanes, x + i);
        __m512 rounded = round_e4m3x16(_mm512_mul_ps(v, mul));
        _mm512_mask_storeu_ps(y + i, lanes, divide_or_zero16(v, rounded, div));
    }
}

AVX512 void pqc_e4m3_each_f32_avx512(const float *x, float *y, ptrdiff_t n, const float *mul,
                                     const float *div)
{
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = _mm512_maskz_loadu_ps(lanes, x + i);
        __m512 rounded = round_e4m3x16(_mm512_mul_ps(v, _mm512_maskz_loadu_ps(lanes, mul + i)));
        __m512 d = _mm512_maskz_loadu_ps(lanes, div + i);
        _mm512_mask_storeu_ps(y + i, lanes, divide_or_zero16(v, rounded, d));
    }
}

#endif
