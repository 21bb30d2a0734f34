/* Fingerprint of bytes in 64 lanes of 32 bits, with AVX-512; see fingerprint.h. */
#include "fingerprint.h"
#include "pqc.h"

#if PQC_X86
#include "avx512.h"

AVX512 void pqc_fingerprint_avx512(const uint8_t *x, ptrdiff_t blocks, uint32_t *lanes)
{
    __m512i h[4], odd = _mm512_set1_epi32((int)0x85EBCA6Bu);
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++)
        h[i] = _mm512_loadu_si512(lanes + 16 * i);
    for (; blocks > 0; blocks--, x += 4 * PQC_MARK_LANES)
        PQC_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        __m512i word = _mm512_loadu_si512(x + 64 * i);
        h[i] = _mm512_mullo_epi32(_mm512_rol_epi32(_mm512_xor_si512(h[i], word), 15), odd);
    }
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++)
        _mm512_storeu_si512(lanes + 16 * i, h[i]);
}

#endif
