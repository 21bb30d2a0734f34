/* Quads in columns for the AVX-512 VNNI bodies. */
#ifndef PQC_COLUMNS_VNNI_H
#define PQC_COLUMNS_VNNI_H

#include "lines_s8.h"

#include <immintrin.h>
#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

/* How 16 pixels' quads come from 64 bytes: dwords to 128-bit lanes of 4 pixels, then bytes to their places. */
typedef struct {
    __m512i dwords, bytes;
} spread;

/* Dword i of the first is i / 4 * stride + i % 4; byte i of a lane of the second pqc_column_place(i / 4, i % 4). */
INLINE spread spread_of(const pqc_lines_s8_block *g)
{
    const __m512i lane = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i within = _mm512_setr_epi32(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
    __m512i dwords = _mm512_mullo_epi32(lane, _mm512_set1_epi32(g->stride));
    __m512i bytes = _mm512_mullo_epi32(within, _mm512_set1_epi32(g->stride * 0x01010101));
    return (spread){_mm512_add_epi32(dwords, within),
                    _mm512_add_epi32(bytes, _mm512_set1_epi32(g->dilation * 0x03020100))};
}

INLINE __m512i quads_at(const uint8_t *x, const bool columns, spread s)
{
    __m512i bytes = _mm512_loadu_si512(x);
    return columns ? _mm512_shuffle_epi8(_mm512_permutexvar_epi32(s.dwords, bytes), s.bytes)
                   : bytes;
}

INLINE __m512i weights_at(const int8_t *w)
{
    int32_t bytes;
    memcpy(&bytes, w, 4);
    return _mm512_set1_epi32(bytes);
}

/* One channel with a kernel of 3, 5 or 7 rows and stride 1 or 2: several rows at a time, so that an input row is spread
 * once for all outputs it belongs to.  False if the block is of another kind; nothing is then written. */
bool pqc_lines_depthwise_vnni(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y);

#endif
