/* Indirect GEMM of u8 activations with s8 weight panels, to int32 sums, with NEON's dot products; see igemm_u8s8.h. */
#include "igemm_u8s8.h"
#include "pqc.h"

#if PQC_ARM
#include <arm_neon.h>
#include <string.h>

#define DOTPROD PQC_TARGET_DOTPROD
#define INLINE DOTPROD PQC_INLINE

/* A tile is P pixels by 16 channels: 24 sums, 4 weights and 1 activation in 32 registers.  SDOT multiplies signed
 * bytes, so activations are read as x - 128 (the sign bit flipped), and 128 * (sum of weights) is added at the end. */
enum { MAX_PIXELS = 6 };

INLINE int8x16_t broadcast_c4(const uint8_t *x)
{
    uint32_t bytes;
    memcpy(&bytes, x, 4);
    return vreinterpretq_s8_u32(vdupq_n_u32(bytes ^ 0x80808080u));
}

/* Channels 16 * v to 16 * v + 15; P is a constant after inlining. */
INLINE void tile(const pqc_igemm_params *g, const int32_t *pixel, const int P, int v, int32_t *acc)
{
    const uint8_t *x[MAX_PIXELS];
    int32x4_t sums[MAX_PIXELS][4];
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        x[p] = g->x + pixel[p];
        PQC_UNROLL(4)
        for (int i = 0; i < 4; i++) {
            ptrdiff_t c = PQC_LANES * v + 4 * i;
            sums[p][i] = vaddq_s32(vld1q_s32(g->compensation + c), vld1q_s32(g->weight_sums + c));
        }
    }
    const int8_t *w = g->w + v * g->panel_stride;
    ptrdiff_t k_stride = g->k_stride, lanes = PQC_LANES * g->vectors;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, w += k_stride) {
        int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 32),
                  w3 = vld1q_s8(w + 48);
        ptrdiff_t at = *offset;
        PQC_UNROLL(6)
        for (int p = 0; p < P; p++) {
            int8x16_t c4 = broadcast_c4(x[p] + at);
            sums[p][0] = vdotq_s32(sums[p][0], w0, c4);
            sums[p][1] = vdotq_s32(sums[p][1], w1, c4);
            sums[p][2] = vdotq_s32(sums[p][2], w2, c4);
            sums[p][3] = vdotq_s32(sums[p][3], w3, c4);
        }
    }
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        PQC_UNROLL(4)
        for (int i = 0; i < 4; i++)
            vst1q_s32(acc + p * lanes + PQC_LANES * v + 4 * i, sums[p][i]);
    }
}

DOTPROD static void tiles(const pqc_igemm_params *g, const int32_t *pixel, int pixels, int v,
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

DOTPROD void pqc_igemm_u8s8_dotprod(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                                    int32_t *acc)
{
    for (int v = 0; v < g->vectors; v++)
        for (int p = 0; p < pixels; p += MAX_PIXELS)
            tiles(g, pixel + p, pixels - p, v, acc + p * PQC_LANES * g->vectors);
}

#endif
