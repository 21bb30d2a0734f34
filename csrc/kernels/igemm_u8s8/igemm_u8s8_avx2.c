/* Indirect GEMM of u8 activations with s8 weight panels, to int32 sums, with AVX2; see igemm_u8s8.h. */
#include "igemm_u8s8_small_m_avx2.h"
#include "igemm_u8s8.h"
#include "igemm_u8s8_avx2.h"

#include <string.h>

#if PQC_X86

/* Bytes are widened to 16 bits, multiplied and added in pairs (vpmaddwd), which is exact; vpmaddubsw would saturate.
 * Both operands of some kr groups are widened first, into buffers that stay in L1: activations once for all channels
 * of the block, weights once for all pixels.  A tile is P pixels by 16 channels: 12 sums, 2 weights, 1 activation. */
enum { MAX_PIXELS = 6 };

/* Adds kr groups x 2 pairs to 16 channels of P pixels; P is a constant after inlining. */
INLINE void tile(const int32_t *x, const int16_t *w, ptrdiff_t kr_groups, const int P, int32_t *acc,
                 ptrdiff_t lanes)
{
    __m256i low[MAX_PIXELS], high[MAX_PIXELS];
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        low[p] = load_words(acc + p * lanes);
        high[p] = load_words(acc + p * lanes + 8);
    }
    for (; kr_groups > 0; kr_groups--, x++, w += 64) {
        PQC_UNROLL(2)
        for (int pair = 0; pair < 2; pair++) {
            __m256i w0 = load_words(w + 32 * pair), w1 = load_words(w + 32 * pair + 16);
            PQC_UNROLL(6)
            for (int p = 0; p < P; p++) {
                __m256i both = _mm256_set1_epi32(x[p * WIDE_PIXEL + pair * WIDE_KR_GROUPS]);
                low[p] = _mm256_add_epi32(low[p], _mm256_madd_epi16(both, w0));
                high[p] = _mm256_add_epi32(high[p], _mm256_madd_epi16(both, w1));
                PQC_KEEP_IN_REGISTERS(low[p], high[p]); /* or GCC uses two registers per sum */
            }
        }
    }
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        store_words(acc + p * lanes, low[p]);
        store_words(acc + p * lanes + 8, high[p]);
    }
}

AVX2 static void any_tile(const int32_t *x, const int16_t *w, ptrdiff_t kr_groups, int pixels,
                          int32_t *acc, ptrdiff_t lanes)
{
    switch (pixels) {
    case 1:
        tile(x, w, kr_groups, 1, acc, lanes);
        break;
    case 2:
        tile(x, w, kr_groups, 2, acc, lanes);
        break;
    case 3:
        tile(x, w, kr_groups, 3, acc, lanes);
        break;
    case 4:
        tile(x, w, kr_groups, 4, acc, lanes);
        break;
    case 5:
        tile(x, w, kr_groups, 5, acc, lanes);
        break;
    default:
        tile(x, w, kr_groups, 6, acc, lanes);
        break;
    }
}

/* Adds kr_groups kr groups from `first`, for all channels and at most WIDE_PIXELS pixels. */
AVX2 static void add_kr_groups(const pqc_igemm_params *g, ptrdiff_t first, ptrdiff_t kr_groups,
                               const int32_t *pixel, int pixels, int32_t *acc)
{
    _Alignas(32) int32_t x[WIDE_PIXELS * WIDE_PIXEL];
    _Alignas(32) int16_t w[WIDE_KR_GROUPS * 64];
    ptrdiff_t tiles = pqc_div_round_up(pixels, MAX_PIXELS), lanes = PQC_LANES * g->vectors;
    widen_pixels(g, first, kr_groups, pixel, pixels, x);
    for (int v = 0; v < g->vectors; v++) {
        widen_weights(g->w + first * g->k_stride + v * g->panel_stride, g->k_stride, kr_groups, w);
        for (ptrdiff_t t = 0; t < tiles; t++) {
            ptrdiff_t begin = pqc_part_begin(pixels, tiles, t),
                      end = pqc_part_begin(pixels, tiles, t + 1);
            any_tile(x + begin * WIDE_PIXEL, w, kr_groups, (int)(end - begin),
                     acc + begin * lanes + PQC_LANES * v, lanes);
        }
    }
}

AVX2 void pqc_igemm_u8s8_avx2(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                              int32_t *acc)
{
    ptrdiff_t parts = pqc_div_round_up(pixels, WIDE_PIXELS), lanes = PQC_LANES * g->vectors;
    if (pixels <= MAX_SMALL_M && !g->has_min_weight) {
        pqc_igemm_u8s8_small_m_avx2(g, pixel, pixels, acc);
        return;
    }
    for (int p = 0; p < pixels; p++)
        memcpy(acc + p * lanes, g->compensation, (size_t)lanes * sizeof *acc);
    for (ptrdiff_t i = 0; i < parts; i++) {
        ptrdiff_t begin = pqc_part_begin(pixels, parts, i),
                  end = pqc_part_begin(pixels, parts, i + 1);
        for (ptrdiff_t first = 0; first < g->k; first += WIDE_KR_GROUPS)
            add_kr_groups(g, first, pqc_min(g->k - first, WIDE_KR_GROUPS), pixel + begin,
                          (int)(end - begin), acc + begin * lanes);
    }
}

#endif
