/* Integer quantisation in AVX2 registers, shared by the float32 and half bodies. */
#ifndef PQC_INT_QUANT_AVX2_H
#define PQC_INT_QUANT_AVX2_H

#include "avx2.h"
#include "quant_params/quant_params.h"

/* max(lo, v) and min(hi, v) return their second operand if one is NaN: NaN passes. */
AVX2 static inline __m256 quantize8(__m256 x, __m256 mul, __m256 lo, __m256 hi)
{
    __m256 v =
        _mm256_round_ps(_mm256_mul_ps(x, mul), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm256_min_ps(hi, _mm256_max_ps(lo, v));
}

typedef struct {
    __m256 mul, lo, hi, div, reciprocal;
    bool by_reciprocal; /* otherwise by division, which is slower */
} fake_quant8;

AVX2 static inline fake_quant8 fake_quant8_init(pqc_int_quant q)
{
    return (fake_quant8){_mm256_set1_ps(q.mul),        _mm256_set1_ps(q.lo),
                         _mm256_set1_ps(q.hi),         _mm256_set1_ps(q.div),
                         _mm256_set1_ps(1.0f / q.div), pqc_reciprocal_is_safe(q.div)};
}

AVX2 static inline __m256 fake8(__m256 x, fake_quant8 k)
{
    __m256 v = quantize8(x, k.mul, k.lo, k.hi);
    return k.by_reciprocal ? divide8(v, k.div, k.reciprocal) : _mm256_div_ps(v, k.div);
}

#endif
