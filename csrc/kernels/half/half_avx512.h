/* bfloat16 conversions in AVX-512 registers; float16 has instructions of its own. */
#ifndef PQC_HALF_AVX512_H
#define PQC_HALF_AVX512_H

#include "avx512.h"

AVX512 static inline __m512 from_bf16x16(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* Rounds to bfloat16, in the high half of every lane; the low half is garbage. */
AVX512 static inline __m512i to_bf16x16(__m512 x)
{
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
}

/* Index for _mm512_permutex2var_epi16: the odd words of two vectors, 1, 3, ...  63; lane j holds 4j + 1 and 4j + 3. */
AVX512 static inline __m512i odd_words(void)
{
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32(0x40004)),
                            _mm512_set1_epi32(0x30001));
}

#endif
