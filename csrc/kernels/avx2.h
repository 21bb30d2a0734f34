/* AVX2 helpers shared by several bodies; only files for AVX2 include it. */
#ifndef PQC_AVX2_H
#define PQC_AVX2_H

#include "pqc.h"

#include <immintrin.h>
#include <string.h>

#define AVX2 PQC_TARGET_AVX2

/* q / div, correctly rounded, if pqc_reciprocal_is_safe(div): one Newton step on the quotient (Markstein).  The
 * residue is computed as s*y - q rather than q - s*y, so that -0 stays -0. */
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

/* All bits of the first n of 8 lanes set, the others 0. */
AVX2 PQC_INLINE __m256i first_lanes(ptrdiff_t n)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lanes);
}

/* The first n of 8 floats; the other lanes are 0. */
AVX2 PQC_INLINE __m256 first_of(const float *x, ptrdiff_t n)
{
    return _mm256_maskload_ps(x, first_lanes(n));
}

/* Stores the first n of 8 floats. */
AVX2 PQC_INLINE void store_first(float *y, __m256 v, ptrdiff_t n)
{
    __m128 part = _mm256_castps256_ps128(v);
    if (n >= 8) {
        _mm256_storeu_ps(y, v);
        return;
    }
    if (n & 4) {
        _mm_storeu_ps(y, part);
        part = _mm256_extractf128_ps(v, 1);
        y += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)y, part);
        part = _mm_movehl_ps(part, part);
        y += 2;
    }
    if (n & 1)
        _mm_store_ss(y, part);
}

AVX2 PQC_INLINE __m256i load_words(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

AVX2 PQC_INLINE void store_words(void *to, __m256i v)
{
    _mm256_storeu_si256((__m256i *)to, v);
}

/* Broadcasts a pair of words to all eight dwords. */
AVX2 PQC_INLINE __m256i pair_at(const int16_t *x)
{
    int32_t both;
    memcpy(&both, x, 4);
    return _mm256_set1_epi32(both);
}

#endif
