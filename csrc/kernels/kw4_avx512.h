/* AVX-512: the c4 blocks of 16 tap-packed pixels (conv_chw_u8s8.h) from 64 bytes of a row.  Dwords are permuted into
 * 128-bit lanes of 4 pixels, then bytes within lanes. */
#ifndef PQC_KW4_AVX512_H
#define PQC_KW4_AVX512_H

#include "avx512.h"

typedef struct {
    __m512i dwords, bytes;
} kw4_spread;

/* Dword i of the first control is i / 4 * stride + i % 4; byte i of a lane of the second is pqc_kw4_place(i / 4, i %
 * 4). */
AVX512 PQC_INLINE kw4_spread kw4_spread_of(int stride, int dilation)
{
    const __m512i lane = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i within = _mm512_setr_epi32(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
    __m512i dwords = _mm512_mullo_epi32(lane, _mm512_set1_epi32(stride));
    __m512i bytes = _mm512_mullo_epi32(within, _mm512_set1_epi32(stride * 0x01010101));
    return (kw4_spread){_mm512_add_epi32(dwords, within),
                        _mm512_add_epi32(bytes, _mm512_set1_epi32(dilation * 0x03020100))};
}

AVX512 PQC_INLINE __m512i spread_kw4(__m512i bytes, kw4_spread s)
{
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(s.dwords, bytes), s.bytes);
}

#endif
