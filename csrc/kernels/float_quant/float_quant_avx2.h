/* `nearest` of float_quant.h for 8 floats. */
#ifndef PQC_FLOAT_QUANT_AVX2_H
#define PQC_FLOAT_QUANT_AVX2_H

#include "float_quant.h"

#include "avx2.h"

typedef struct {
    __m256 lo, hi;
    __m256i normal, magic;
} format8;

AVX2 static inline format8 format8_of(const pqc_float_format *f)
{
    return (format8){_mm256_set1_ps(f->lo), _mm256_set1_ps(f->hi),
                     _mm256_set1_epi32(pqc_normal_bits(f)), _mm256_set1_epi32(pqc_magic_bits(f))};
}

/* max(lo, v) and min(hi, v) return their second operand if one is NaN: NaN passes. */
AVX2 static inline __m256 nearest8(__m256 v, format8 f)
{
    v = _mm256_max_ps(f.lo, v);
    v = _mm256_min_ps(f.hi, v);
    __m256i exponent =
        _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(PQC_EXPONENT_BITS));
    exponent = _mm256_add_epi32(_mm256_max_epi32(exponent, f.normal), f.magic);
    __m256 magic = _mm256_castsi256_ps(exponent);
    __m256 rounded = _mm256_sub_ps(_mm256_add_ps(v, magic), magic);
    return _mm256_or_ps(rounded, _mm256_and_ps(v, _mm256_set1_ps(-0.0f)));
}

#endif
