/* Indirect GEMM of u8 activations with s8 weight panels, to int32 sums, with AVX-VNNI, 256 bits wide; see
 * igemm_u8s8.h. */
#include "igemm_u8s8.h"
#include "pqc.h"

#if PQC_X86
#include <immintrin.h>
#include <string.h>

#define AVXVNNI PQC_TARGET_AVXVNNI
#define INLINE AVXVNNI PQC_INLINE

/* A tile is P pixels by one vector of 16 channels: 12 sums, 2 weights and 1 activation in 16
 * registers. */
enum { MAX_PIXELS = 6 };

INLINE __m256i load(const void *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

INLINE __m256i broadcast_c4(const uint8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, 4);
    return _mm256_set1_epi32(bytes);
}

/* Channels 16 * v to 16 * v + 15; P is a constant after inlining. */
INLINE void tile(const pqc_igemm_params *g, const int32_t *pixel, const int P, int v, int32_t *acc)
{
    const uint8_t *x[MAX_PIXELS];
    __m256i low[MAX_PIXELS], high[MAX_PIXELS];
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        x[p] = g->x + pixel[p];
        low[p] = load(g->compensation + PQC_LANES * v);
        high[p] = load(g->compensation + PQC_LANES * v + 8);
    }
    const int8_t *w = g->w + v * g->panel_stride;
    ptrdiff_t k_stride = g->k_stride, lanes = PQC_LANES * g->vectors;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, w += k_stride) {
        __m256i w0 = load(w), w1 = load(w + 32);
        ptrdiff_t at = *offset;
        PQC_UNROLL(6)
        for (int p = 0; p < P; p++) {
            __m256i c4 = broadcast_c4(x[p] + at);
            low[p] = _mm256_dpbusd_avx_epi32(low[p], c4, w0);
            high[p] = _mm256_dpbusd_avx_epi32(high[p], c4, w1);
        }
    }
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        int32_t *at = acc + p * lanes + PQC_LANES * v;
        _mm256_storeu_si256((__m256i *)(void *)at, low[p]);
        _mm256_storeu_si256((__m256i *)(void *)(at + 8), high[p]);
    }
}

AVXVNNI static void tiles(const pqc_igemm_params *g, const int32_t *pixel, int pixels, int v,
                          int32_t *acc)
{
    switch (pixels) {
    case 1:
        tile(g, pixel, 1, v, acc);
        break;
    case 2:
        tile(g, pixel, 2, v, acc);
        break;
    case 3:
        tile(g, pixel, 3, v, acc);
        break;
    case 4:
        tile(g, pixel, 4, v, acc);
        break;
    case 5:
        tile(g, pixel, 5, v, acc);
        break;
    default:
        tile(g, pixel, 6, v, acc);
        break;
    }
}

AVXVNNI void pqc_igemm_u8s8_avxvnni(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                                    int32_t *acc)
{
    for (int v = 0; v < g->vectors; v++)
        for (int p = 0; p < pixels; p += MAX_PIXELS)
            tiles(g, pixel + p, pixels - p, v, acc + p * PQC_LANES * g->vectors);
}

#endif
