/* Integer quantisation in AVX-512 registers, shared by the float32 and half bodies. */
#ifndef PQC_INT_QUANT_AVX512_H
#define PQC_INT_QUANT_AVX512_H

#include "avx512.h"
#include "quant_params/quant_params.h"

/* max(lo, v) and min(hi, v) return their second operand if one is NaN: NaN passes. */
AVX512 static inline __m512 quantize16(__m512 x, __m512 mul, __m512 lo, __m512 hi)
{
    __m512 v =
        _mm512_roundscale_ps(_mm512_mul_ps(x, mul), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm512_min_ps(hi, _mm512_max_ps(lo, v));
}

typedef struct {
    __m512 mul, lo, hi, div, reciprocal;
    bool by_reciprocal; /* otherwise by division, which costs 10 cycles per vector on Zen 4 */
} fake_quant16;

AVX512 static inline fake_quant16 fake_quant16_init(pqc_int_quant q)
{
    return (fake_quant16){_mm512_set1_ps(q.mul),        _mm512_set1_ps(q.lo),
                          _mm512_set1_ps(q.hi),         _mm512_set1_ps(q.div),
                          _mm512_set1_ps(1.0f / q.div), pqc_reciprocal_is_safe(q.div)};
}

AVX512 static inline __m512 fake16(__m512 x, fake_quant16 k)
{
    __m512 v = quantize16(x, k.mul, k.lo, k.hi);
    return k.by_reciprocal ? divide16(v, k.div, k.reciprocal) : _mm512_div_ps(v, k.div);
}

#endif
