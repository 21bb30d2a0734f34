/* Fingerprint of bytes in 64 lanes of 32 bits, with AVX2; see fingerprint.h. */
#include "fingerprint.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

AVX2 void pqc_fingerprint_avx2(const uint8_t *x, ptrdiff_t blocks, uint32_t *lanes)
{
    __m256i h[8], odd = _mm256_set1_epi32((int)0x85EBCA6Bu);
    PQC_UNROLL(8)
    for (int i = 0; i < 8; i++)
        h[i] = _mm256_loadu_si256((const __m256i *)(const void *)(lanes + 8 * i));
    for (; blocks > 0; blocks--, x += 4 * PQC_MARK_LANES)
        PQC_UNROLL(8)
    for (int i = 0; i < 8; i++) {
        __m256i word = _mm256_loadu_si256((const __m256i *)(const void *)(x + 32 * i));
        __m256i t = _mm256_xor_si256(h[i], word);
        t = _mm256_or_si256(_mm256_slli_epi32(t, 15), _mm256_srli_epi32(t, 17));
        h[i] = _mm256_mullo_epi32(t, odd);
    }
    PQC_UNROLL(8)
    for (int i = 0; i < 8; i++)
        _mm256_storeu_si256((__m256i *)(void *)(lanes + 8 * i), h[i]);
}

#endif
