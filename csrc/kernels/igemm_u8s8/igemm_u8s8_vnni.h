/* AVX-512 VNNI products of P pixels by V vectors of channels, with the sums in registers; shared by several bodies. */
#ifndef PQC_IGEMM_U8S8_VNNI_H
#define PQC_IGEMM_U8S8_VNNI_H

#include "avx512.h"
#include "igemm_u8s8.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

/* Most pixels of a body. */
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

/* Otherwise GCC spills the sums, because of what follows. */
INLINE void end_sums(__m512i *sums, const int N)
{
    PQC_UNROLL(24)
    for (int i = 0; i < N; i++)
        PQC_KEEP_IN_REGISTER(sums[i]);
}

/* How far the kr groups have been walked. */
typedef struct {
    const uint8_t *x[MAX_MR];
    const int8_t *w, *ahead;
    const int32_t *offset;
} igemm_walk;

/* Sets up the walk over the kr groups of P pixels, and the initial sums of these pixels by the V vectors of 16
 * channels from `first`.  P and V are constants after inlining, here and below, and so are the strides where
 * possible: registers are scarce. */
INLINE igemm_walk igemm_begin(const pqc_igemm_params *g, const int32_t *pixel, const int P,
                              const int V, int first, __m512i *sums)
{
    igemm_walk walk;
    PQC_UNROLL(12)
    for (int p = 0; p < P; p++) {
        walk.x[p] = g->x + pixel[p];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            sums[p * V + v] = _mm512_loadu_si512(g->compensation + PQC_LANES * (first + v));
    }
    walk.w = g->w + first * g->panel_stride;
    walk.ahead = g->ahead;
    walk.offset = g->offset;
    return walk;
}

/* The products of one kr group. */
INLINE void igemm_step(igemm_walk *walk, const int P, const int V, ptrdiff_t k_stride,
                       ptrdiff_t panel_stride, __m512i *sums)
{
    ptrdiff_t at = *walk->offset++;
    __m512i weights[4];
    if (V == PQC_NR_VECTORS) { /* narrower panels have no load slots to spare */
        _mm_prefetch((const char *)walk->ahead, _MM_HINT_T1);
        walk->ahead += 64;
    }
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++)
        weights[v] = loaded_once(walk->w + v * panel_stride);
    PQC_UNROLL(12)
    for (int p = 0; p < P; p++) {
        __m512i c4 = broadcast_c4(walk->x[p] + at);
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            sums[p * V + v] = _mm512_dpbusd_epi32(sums[p * V + v], c4, weights[v]);
    }
    walk->w += k_stride;
}

INLINE void sum_up(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                   int first, ptrdiff_t k_stride, ptrdiff_t panel_stride, __m512i *sums)
{
    igemm_walk walk = igemm_begin(g, pixel, P, V, first, sums);
    const int32_t *end = g->offset + g->k;
    while (walk.offset < end)
        igemm_step(&walk, P, V, k_stride, panel_stride, sums);
    end_sums(sums, P * V);
}

/* The weights of the last, half full vector in two kr groups, each in one half of a register. */
INLINE __m512i halves(const int8_t *w, const int8_t *next)
{
    __m512i weights = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)w));
    weights =
        _mm512_inserti64x4(weights, _mm256_loadu_si256((const __m256i *)(const void *)next), 1);
    PQC_KEEP_IN_REGISTER(weights);
    return weights;
}

/* The same for panels of V vectors whose last one is half full (half_last): two kr groups at a time share it. */
INLINE void sum_up_half(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                        __m512i *sums)
{
    const ptrdiff_t k_stride = 4 * PQC_LANES * V, half = 4 * PQC_LANES * (V - 1);
    const uint8_t *x[12];
    PQC_UNROLL(12)
    for (int p = 0; p < P; p++) {
        x[p] = g->x + pixel[p];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            sums[p * V + v] = _mm512_maskz_loadu_epi32(v == V - 1 ? 0x00ff : 0xffff,
                                                       g->compensation + PQC_LANES * v);
    }
    const int8_t *w = g->w;
    const int32_t *offset = g->offset, *end = offset + g->k;
    if (g->k % 2) {
        __m512i weights[4];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            weights[v] =
                _mm512_maskz_loadu_epi32(v == V - 1 ? 0x00ff : 0xffff, w + v * 4 * PQC_LANES);
        PQC_UNROLL(12)
        for (int p = 0; p < P; p++) {
            __m512i c4 = broadcast_c4(x[p] + *offset);
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                sums[p * V + v] = _mm512_dpbusd_epi32(sums[p * V + v], c4, weights[v]);
        }
        offset++;
        w += k_stride;
    }
    for (; offset < end; offset += 2, w += 2 * k_stride) {
        ptrdiff_t at = offset[0], next_at = offset[1];
        __m512i weights[4], next[4], shared = halves(w + half, w + k_stride + half);
        PQC_UNROLL(3)
        for (int v = 0; v < V - 1; v++) {
            weights[v] = loaded_once(w + v * 4 * PQC_LANES);
            next[v] = loaded_once(w + k_stride + v * 4 * PQC_LANES);
        }
        PQC_UNROLL(12)
        for (int p = 0; p < P; p++) {
            __m512i c4 = broadcast_c4(x[p] + at), next_c4 = broadcast_c4(x[p] + next_at);
            PQC_UNROLL(3)
            for (int v = 0; v < V - 1; v++) {
                sums[p * V + v] = _mm512_dpbusd_epi32(sums[p * V + v], c4, weights[v]);
                sums[p * V + v] = _mm512_dpbusd_epi32(sums[p * V + v], next_c4, next[v]);
            }
            c4 = _mm512_mask_blend_epi32(0xff00, c4, next_c4);
            sums[p * V + V - 1] = _mm512_dpbusd_epi32(sums[p * V + V - 1], c4, shared);
        }
    }
    PQC_UNROLL(12)
    for (int p = 0; p < P; p++) {
        __m512i *sum = &sums[p * V + V - 1];
        *sum = _mm512_add_epi32(*sum, _mm512_shuffle_i64x2(*sum, *sum, 0x4e));
    }
    end_sums(sums, P * V);
}

/* True if such a body exists.  There is none for one vector, where it would save no loads, nor for 56 channels, which
 * are rare. */
PQC_INLINE bool shares_half(const pqc_igemm_params *g)
{
    return g->half_last && (g->vectors == 2 || g->vectors == 3);
}

/* For products computed for one part of the pixels after another: each part prefetches some lines; if there are none
 * to prefetch, those of its own weights. */
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
