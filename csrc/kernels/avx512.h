/* What several AVX-512 bodies share; only <op>_avx512.c files include it. */
#ifndef PQC_AVX512_H
#define PQC_AVX512_H

#include "pqc.h"

#include <immintrin.h>

#define AVX512 PQC_TARGET_AVX512

/* The first `left` of 16 lanes; all of them from 16 on. */
AVX512 static inline __mmask16 tail16(ptrdiff_t left)
{
    return (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1u);
}

#endif
