/* Sums back to numbers: y = fma((float)acc, scale[c], bias[c]), one rounding of the sum and one of
 * the whole.
 *
 *   acc          pixels x channels sums: acc[p * ld + c]; read up to the next multiple of 16
 *                channels, ld being one
 *   scale, bias  `channels` values each
 *   rows         y[p * stride + c]: a pixel's channels together, as a linear layer writes them
 *   columns      y[c * stride + p]: a channel's pixels together, as a convolution writes them;
 *                pixels <= 64
 *
 * Same bits from every ISA. */
#ifndef PQC_DEQUANTIZE_H
#define PQC_DEQUANTIZE_H

#include "pqc.h"

typedef struct {
    const int32_t *acc;
    ptrdiff_t ld;
    int pixels, channels;
} pqc_sums;

typedef void pqc_dequantize_fn(pqc_sums sums, const float *scale, const float *bias, float *y,
                               ptrdiff_t stride);

pqc_dequantize_fn pqc_dequantize_rows_scalar, pqc_dequantize_rows_avx2, pqc_dequantize_rows_avx512,
    pqc_dequantize_rows_neon;
pqc_dequantize_fn pqc_dequantize_columns_scalar, pqc_dequantize_columns_avx2,
    pqc_dequantize_columns_avx512, pqc_dequantize_columns_neon;

#endif
