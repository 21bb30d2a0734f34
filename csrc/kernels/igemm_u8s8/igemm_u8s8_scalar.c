#include "igemm_u8s8.h"

/* Unsigned, so that wrapping is defined. */
static int32_t product(const pqc_gemm_s8_block *g, const uint8_t *x, int c)
{
    uint32_t acc = (uint32_t)g->start[c];
    const int8_t *w = g->w + c / PQC_LANES * g->apart + c % PQC_LANES * 4;
    for (ptrdiff_t j = 0; j < g->k; j++, w += g->step) {
        const uint8_t *quad = x + g->offset[j];
        acc += (uint32_t)(quad[0] * w[0] + quad[1] * w[1] + quad[2] * w[2] + quad[3] * w[3]);
    }
    return (int32_t)acc;
}

void pqc_gemm_s8_scalar(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels, int32_t *acc)
{
    int lanes = PQC_LANES * g->vectors;
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < lanes; c++)
            acc[p * lanes + c] = product(g, g->x + pixel[p], c);
}
