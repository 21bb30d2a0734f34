/* What several AVX2 bodies share; only <op>_avx2.c files include it. */
#ifndef PQC_AVX2_H
#define PQC_AVX2_H

#include "pqc.h"

#include <immintrin.h>
#include <string.h>

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

/* The first n of 8 floats, then zeros. */
AVX2 PQC_INLINE __m256 first_of(const float *x, ptrdiff_t n)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(x, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lanes));
}

/* 4 words, four times. */
AVX2 PQC_INLINE __m256i quad_of(const int16_t *x)
{
    int64_t quad;
    memcpy(&quad, x, 8);
    return _mm256_set1_epi64x(quad);
}

/* Of 4 times 2 partial sums in `low` and in `high`: the 8 sums, in order. */
AVX2 PQC_INLINE __m256i joined(__m256i low, __m256i high)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
}

#endif
