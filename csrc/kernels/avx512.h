/* AVX-512 helpers shared by several bodies; only files for AVX-512 include it. */
#ifndef PQC_AVX512_H
#define PQC_AVX512_H

#include "pqc.h"

#include <immintrin.h>

#define AVX512 PQC_TARGET_AVX512

/* A mask of the first `left` of 16 lanes; all of them if left >= 16. */
AVX512 static inline __mmask16 tail16(ptrdiff_t left)
{
    return (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1u);
}

/* q / div, correctly rounded, if pqc_reciprocal_is_safe(div): one Newton step on the quotient (Markstein).  The
 * residue is computed as s*y - q rather than q - s*y, so that -0 stays -0. */
AVX512 static inline __m512 divide16(__m512 q, __m512 div, __m512 reciprocal)
{
    __m512 y = _mm512_mul_ps(q, reciprocal);
    __m512 residue = _mm512_fmsub_ps(div, y, q);
    return _mm512_fnmadd_ps(residue, reciprocal, y);
}

#endif
