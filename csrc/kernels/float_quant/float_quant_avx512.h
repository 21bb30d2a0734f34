/* `nearest` of float_quant.h for 16 floats. */
#ifndef PQC_FLOAT_QUANT_AVX512_H
#define PQC_FLOAT_QUANT_AVX512_H

#include "float_quant.h"

#include "avx512.h"

typedef struct {
    __m512 lo, hi;
    __m512i normal, magic;
} format16;

AVX512 static inline format16 format16_of(const pqc_float_format *f)
{
    return (format16){_mm512_set1_ps(f->lo), _mm512_set1_ps(f->hi),
                      _mm512_set1_epi32(pqc_normal_bits(f)), _mm512_set1_epi32(pqc_magic_bits(f))};
}

/* max(lo, v) and min(hi, v) return their second operand if one is NaN: NaN passes. */
AVX512 static inline __m512 nearest16(__m512 v, format16 f)
{
    v = _mm512_max_ps(f.lo, v);
    v = _mm512_min_ps(f.hi, v);
    __m512i bits = _mm512_castps_si512(v);
    __m512i exponent = _mm512_and_si512(bits, _mm512_set1_epi32(PQC_EXPONENT_BITS));
    exponent = _mm512_add_epi32(_mm512_max_epi32(exponent, f.normal), f.magic);
    __m512 magic = _mm512_castsi512_ps(exponent);
    __m512 rounded = _mm512_sub_ps(_mm512_add_ps(v, magic), magic);
    enum { A_OR_B_AND_C = 0xf8 };
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(
        _mm512_castps_si512(rounded), bits, _mm512_set1_epi32(INT32_MIN), A_OR_B_AND_C));
}

#endif
