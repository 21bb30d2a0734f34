/* What several AVX2 bodies share; only <op>_avx2.c files include it. */
#ifndef PQC_AVX2_H
#define PQC_AVX2_H

#include "pqc.h"

#include <immintrin.h>

#define AVX2 PQC_TARGET_AVX2

/* q / div, correctly rounded, for div with pqc_reciprocal_is_safe: one Newton step on the quotient
 * (Markstein).  The residue is taken as s*y - q, not q - s*y, so that -0 stays -0. */
AVX2 static inline __m256 divide8(__m256 q, __m256 div, __m256 reciprocal)
{
    __m256 y = _mm256_mul_ps(q, reciprocal);
    __m256 residue = _mm256_fmsub_ps(div, y, q);
    return _mm256_fnmadd_ps(residue, reciprocal, y);
}

AVX2 static inline __m256 abs8(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

#endif
