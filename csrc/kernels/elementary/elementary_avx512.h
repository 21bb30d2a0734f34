/* exp, sigmoid, erf and GELU of 16 floats, with the operations of elementary_scalar.h; coefficients are looked up by
 * a permutation. */
#ifndef PQC_ELEMENTARY_AVX512_H
#define PQC_ELEMENTARY_AVX512_H

#include "avx512.h"
#include "elementary_scalar.h"

AVX512 PQC_INLINE __m512 exp16(__m512 x)
{
    const __m512 round = _mm512_set1_ps(0x1.8p23f + 191.0f), least = _mm512_set1_ps(-104.0f);
    x = _mm512_max_ps(least, x); /* NaN stays NaN */
    __m512 n = _mm512_sub_ps(_mm512_fmadd_ps(x, _mm512_set1_ps(0x1.715476p0f), round), round);
    __m512 high = _mm512_fmadd_ps(n, _mm512_set1_ps(-0x1.62e430p-1f), x);
    __m512 low = _mm512_mul_ps(n, _mm512_set1_ps(0x1.05c610p-29f)), r = _mm512_add_ps(high, low);
    __m512 q = _mm512_set1_ps(0x1.6a1a6ep-10f);
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.123fc6p-7f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.555916p-5f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.55548ap-3f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.fffffcp-2f));
    __m512 y = _mm512_add_ps(high, _mm512_fmadd_ps(_mm512_mul_ps(r, r), q, low));
    y = _mm512_add_ps(_mm512_set1_ps(1.0f), y);
    return _mm512_scalef_ps(y, n); /* this, too, rounds once */
}

AVX512 PQC_INLINE __m512 sigmoid16(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 e = exp16(_mm512_or_ps(x, _mm512_set1_ps(-0.0f))),
           p = _mm512_div_ps(e, _mm512_add_ps(one, e));
    __mmask16 negative = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    __m512 m = _mm512_mask_mov_ps(one, negative, e);
    return _mm512_fnmadd_ps(m, p, m);
}

AVX512 PQC_INLINE __m512 erf16(__m512 x)
{
    const __m512 round = _mm512_set1_ps(0x1p23f), four = _mm512_set1_ps(4.0f);
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    __m512 a = _mm512_andnot_ps(sign, x);
    __m512 near = _mm512_min_ps(_mm512_set1_ps(PQC_ERF_ONE), a); /* NaN stays NaN */
    __m512 shifted = _mm512_fmadd_ps(near, four, round);
    __m512 t = _mm512_fmadd_ps(near, four, _mm512_sub_ps(round, shifted));
    __m512i i = _mm512_castps_si512(shifted); /* only the low 4 bits are used */
    __m512 p = _mm512_permutexvar_ps(i, _mm512_loadu_ps(pqc_erf_table[PQC_ERF_DEGREE]));
    PQC_UNROLL(8)
    for (int k = PQC_ERF_DEGREE - 1; k >= 0; k--)
        p = _mm512_fmadd_ps(p, t, _mm512_permutexvar_ps(i, _mm512_loadu_ps(pqc_erf_table[k])));
    __mmask16 small = _mm512_cmp_ps_mask(a, _mm512_set1_ps(PQC_ERF_SMALL), _CMP_LT_OQ);
    __mmask16 large = _mm512_cmp_ps_mask(a, _mm512_set1_ps(PQC_ERF_ONE), _CMP_GE_OQ);
    p = _mm512_mask_mov_ps(p, small, _mm512_fmadd_ps(p, a, a));
    p = _mm512_mask_mov_ps(p, large, one);
    return _mm512_or_ps(p, _mm512_and_ps(sign, x));
}

AVX512 PQC_INLINE __m512 gelu16(__m512 x)
{
    __m512 y = erf16(_mm512_mul_ps(x, _mm512_set1_ps(0x1.6a09e6p-1f)));
    y = _mm512_mul_ps(_mm512_add_ps(y, _mm512_set1_ps(1.0f)), x);
    return _mm512_mul_ps(y, _mm512_set1_ps(0.5f));
}

#endif
