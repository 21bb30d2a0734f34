/* Sums of the bodies with VNNI, in registers. */
#ifndef PQC_IGEMM_U8S8_VNNI_H
#define PQC_IGEMM_U8S8_VNNI_H

#include "avx512.h"
#include "igemm_u8s8.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

/* The most pixels of a body. */
enum { MAX_MR = 12 };

INLINE __m512i broadcast_c4(const uint8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, 4);
    return _mm512_set1_epi32(bytes);
}

/* Otherwise GCC reloads the weights for each pixel, which takes longer than the products. */
INLINE __m512i loaded_once(const int8_t *w)
{
    __m512i weights = _mm512_loadu_si512(w);
    PQC_KEEP_IN_REGISTER(weights);
    return weights;
}

/* P pixels by the V vectors of 16 channels from `first` on; P and V are constants where this is inlined, and so are the strides
 * where they can be: registers are short. */
INLINE void sum_up(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                   int first, ptrdiff_t k_stride, ptrdiff_t panel_stride, __m512i *sums)
{
    const uint8_t *x[12];
    PQC_UNROLL(12)
    for (int p = 0; p < P; p++) {
        x[p] = g->x + pixel[p];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            sums[p * V + v] = _mm512_loadu_si512(g->compensation + PQC_LANES * (first + v));
    }
    const int8_t *w = g->w + first * panel_stride, *ahead = g->ahead;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, w += k_stride) {
        ptrdiff_t at = *offset;
        __m512i weights[4];
        if (V == PQC_NR_VECTORS) { /* narrower ones have no loads to spare */
            _mm_prefetch((const char *)ahead, _MM_HINT_T1);
            ahead += 64;
        }
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            weights[v] = loaded_once(w + v * panel_stride);
        PQC_UNROLL(12)
        for (int p = 0; p < P; p++) {
            __m512i c4 = broadcast_c4(x[p] + at);
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                sums[p * V + v] = _mm512_dpbusd_epi32(sums[p * V + v], c4, weights[v]);
        }
    }
    /* Otherwise GCC keeps them in memory because of what follows. */
    PQC_UNROLL(24)
    for (int i = 0; i < P * V; i++)
        PQC_KEEP_IN_REGISTER(sums[i]);
}

/* The same products for a part of the pixels after the other, each of which fetches some lines; if there are none to fetch, those
 * of its own weights. */
INLINE pqc_igemm_params fetching(const pqc_igemm_params *g)
{
    pqc_igemm_params part = *g;
    if (!g->ahead)
        part.ahead = g->w;
    return part;
}

INLINE void fetch_on(pqc_igemm_params *part)
{
    part->ahead += 64 * part->k;
    if (part->ahead >= part->ahead_end)
        part->ahead = part->w;
}

#endif
