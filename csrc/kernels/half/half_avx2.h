/* bfloat16 conversions in AVX2 registers; float16 has instructions of its own. */
#ifndef PQC_HALF_AVX2_H
#define PQC_HALF_AVX2_H

#include "avx2.h"

AVX2 static inline __m256 from_bf16x8(__m128i h)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* Rounds to bfloat16, in the low half of every lane; the high half is 0. */
AVX2 static inline __m256i to_bf16x8(__m256 x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    __m256 chosen = _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(quiet), nan);
    return _mm256_srli_epi32(_mm256_castps_si256(chosen), 16);
}

/* Packs the low halves of all lanes.  The pack works within 128 bits (a0 b0 a1 b1); a permutation restores the order. */
AVX2 static inline __m256i join_bf16x16(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
}

#endif
