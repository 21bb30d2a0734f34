/* Indirect GEMM of u8 activations with s8 weight panels, to int32 sums, in plain C; see igemm_u8s8.h. */
#include "igemm_u8s8.h"

/* Unsigned, so that wrapping is defined. */
static int32_t product(const pqc_igemm_params *g, const uint8_t *x, int c)
{
    uint32_t acc = (uint32_t)g->compensation[c];
    const int8_t *w = g->w + c / PQC_LANES * g->panel_stride + c % PQC_LANES * 4;
    for (ptrdiff_t j = 0; j < g->k; j++, w += g->k_stride) {
        const uint8_t *c4 = x + g->offset[j];
        acc += (uint32_t)(c4[0] * w[0] + c4[1] * w[1] + c4[2] * w[2] + c4[3] * w[3]);
    }
    return (int32_t)acc;
}

void pqc_igemm_u8s8_scalar(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                           int32_t *acc)
{
    int lanes = PQC_LANES * g->vectors;
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < lanes; c++)
            acc[p * lanes + c] = product(g, g->x + pixel[p], c);
}
