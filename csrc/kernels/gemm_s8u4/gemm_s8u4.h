/* Products of signed bytes (activations) with weights of 4 bits that have a scale for each group along K:
 *
 *     sum[r][g][c]  = sum over i < length of (x[r][g * length + i] + x_zero) * (w(c, g * length + i) - zero(c, g))
 *     acc           = fma((float)sum[r][g][c], scale(c, g), acc)    for g = 0, 1, ..., from 0.0f on
 *     y[r][c]       = fma(acc, (float)row_scale[r], bias[c])
 *
 * The sums are exact (modulo 2^32: right whenever the true value fits), so what rounds is stated: each sum once, then one fma
 * a group, and the last.  A matrix with one group to a channel has the roundings of igemm_u8s8 instead, if `inverse` is not NULL:
 *
 *     y[r][c]       = fma((float)sum[r][0][c], (float)(row_scale[r] * inverse[c]), bias[c])
 *
 * Weights lie in panels of 16 channels; a panel is its groups one after the other, and a group
 *   8 * length bytes   for each 8 neighbours along K 64 bytes: byte 4 * c + i holds the weight of channel c for neighbour i in
 *                      its low half, for neighbour 4 + i in its high half
 *   16 floats          scale
 * Channels past the end are zeros.  length is a multiple of 8; where K ends within a group, x is 0, whatever the weights.
 *
 *   x            groups * length codes of each row, four at a time, the rows side by side: the four from k on of row r lie at
 *                x + rows * k + 4 * r
 *   x_sums       groups x rows: sums of the codes
 *   starts       groups x rows: -zero * x_sums, with which sums begin where `zeros` and `weight_sums` are NULL
 *   zeros        panels x groups x 16, or NULL: `zero` everywhere
 *   weight_sums  panels x groups x 16: sum of (w - zero) over the group's weights, for x_zero; or NULL: x_zero is 0
 *   channels     to be written, in panels of 16
 *
 * rows and channels may be 0.  Same bits from every ISA. */
#ifndef PQC_GEMM_S8U4_H
#define PQC_GEMM_S8U4_H

#include "pqc.h"

enum { PQC_U4_NR = 16, PQC_U4_KR = 8, PQC_U4_MR = 12, PQC_U4_SCALES = 64, PQC_U4_AMX_MR = 64 };

typedef struct {
    const int8_t *x;
    const int32_t *x_sums, *starts;
    const double *row_scale;
    int rows;
    const uint8_t *w;
    ptrdiff_t groups, length;
    const uint8_t *zeros;
    int zero;
    const int32_t *weight_sums;
    int x_zero;
    const double *inverse;
    ptrdiff_t channels;
    const float *bias; /* NULL means zeros */
    float *y;
    ptrdiff_t y_row; /* floats between rows */
} pqc_gemm_s8u4_params;

typedef void pqc_gemm_s8u4_fn(const pqc_gemm_s8u4_params *p);

pqc_gemm_s8u4_fn pqc_gemm_s8u4_scalar, pqc_gemm_s8u4_avx2, pqc_gemm_s8u4_vnni, pqc_gemm_s8u4_amx,
    pqc_gemm_s8u4_neon, pqc_gemm_s8u4_dotprod;

/* Bytes of a group, and of a panel. */
static inline ptrdiff_t pqc_u4_group_bytes(ptrdiff_t length)
{
    return PQC_U4_NR / 2 * length + PQC_U4_SCALES;
}

static inline ptrdiff_t pqc_u4_panel_bytes(ptrdiff_t groups, ptrdiff_t length)
{
    return groups * pqc_u4_group_bytes(length);
}

/* K of an AMX tile for groups of this length; 0 if AMX cannot be used. */
static inline ptrdiff_t pqc_u4_amx_k(ptrdiff_t length)
{
    return length % 64 == 0 ? 64 : length == 32 ? 32 : 0;
}

#endif
