/* Indirect GEMM of u8 activations with s8 weight panels, to int32 sums, with NEON; see igemm_u8s8.h. */
#include "igemm_u8s8.h"
#include "pqc.h"

#if PQC_ARM
#include <arm_neon.h>
#include <string.h>

#define INLINE PQC_INLINE

/* A tile is P pixels by 8 channels.  SMULL of bytes, whose pairs are added into 32 bits.  Activations are read as x -
 * 128, so a product is at most 128 * 128 and fits; 128 * (sum of weights) is added at the end. */
enum { MAX_PIXELS = 4 };

INLINE int8x16_t broadcast_c4(const uint8_t *x)
{
    uint32_t bytes;
    memcpy(&bytes, x, 4);
    return vreinterpretq_s8_u32(vdupq_n_u32(bytes ^ 0x80808080u));
}

INLINE int32x4_t add_products(int32x4_t acc, int8x8_t x, int8x8_t w)
{
    return vpadalq_s16(acc, vmull_s8(x, w));
}

/* Channels 8 * half to 8 * half + 7; P is a constant after inlining. */
INLINE void tile(const pqc_igemm_params *g, const int32_t *pixel, const int P, int half,
                 int32_t *acc)
{
    const uint8_t *x[MAX_PIXELS];
    int32x4_t sums[MAX_PIXELS][4];
    PQC_UNROLL(4)
    for (int p = 0; p < P; p++) {
        x[p] = g->x + pixel[p];
        sums[p][0] = sums[p][1] = sums[p][2] = sums[p][3] = vdupq_n_s32(0);
    }
    const int8_t *w = g->w + half / 2 * g->panel_stride + half % 2 * 32;
    ptrdiff_t k_stride = g->k_stride, lanes = PQC_LANES * g->vectors;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, w += k_stride) {
        int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);
        ptrdiff_t at = *offset;
        PQC_UNROLL(4)
        for (int p = 0; p < P; p++) {
            int8x8_t c4 = vget_low_s8(broadcast_c4(x[p] + at));
            sums[p][0] = add_products(sums[p][0], c4, vget_low_s8(w0));
            sums[p][1] = add_products(sums[p][1], c4, vget_high_s8(w0));
            sums[p][2] = add_products(sums[p][2], c4, vget_low_s8(w1));
            sums[p][3] = add_products(sums[p][3], c4, vget_high_s8(w1));
        }
    }
    PQC_UNROLL(2)
    for (int i = 0; i < 2; i++) {
        ptrdiff_t c = 8 * half + 4 * i;
        int32x4_t compensation =
            vaddq_s32(vld1q_s32(g->compensation + c), vld1q_s32(g->weight_sums + c));
        PQC_UNROLL(4)
        for (int p = 0; p < P; p++)
            vst1q_s32(acc + p * lanes + c,
                      vaddq_s32(compensation, vpaddq_s32(sums[p][2 * i], sums[p][2 * i + 1])));
    }
}

static void tiles(const pqc_igemm_params *g, const int32_t *pixel, int pixels, int half,
                  int32_t *acc)
{
    switch (pixels) {
    case 1:
        tile(g, pixel, 1, half, acc);
        break;
    case 2:
        tile(g, pixel, 2, half, acc);
        break;
    case 3:
        tile(g, pixel, 3, half, acc);
        break;
    default:
        tile(g, pixel, 4, half, acc);
        break;
    }
}

void pqc_igemm_u8s8_neon(const pqc_igemm_params *g, const int32_t *pixel, int pixels, int32_t *acc)
{
    for (int half = 0; half < 2 * g->vectors; half++)
        for (int p = 0; p < pixels; p += MAX_PIXELS)
            tiles(g, pixel + p, pixels - p, half, acc + p * PQC_LANES * g->vectors);
}

#endif
