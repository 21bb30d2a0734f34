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
#ifndef PQC_REQUANTIZE_H
#define PQC_REQUANTIZE_H

#include "pqc.h"

typedef struct {
    const int32_t *acc;
    ptrdiff_t ld;
    int pixels, channels;
} pqc_sums;

typedef void pqc_requantize_fn(pqc_sums sums, const float *scale, const float *bias, float *y,
                               ptrdiff_t stride);

pqc_requantize_fn pqc_requantize_nhwc_scalar, pqc_requantize_nhwc_avx2, pqc_requantize_nhwc_avx512,
    pqc_requantize_nhwc_neon;
pqc_requantize_fn pqc_requantize_nchw_scalar, pqc_requantize_nchw_avx2, pqc_requantize_nchw_avx512,
    pqc_requantize_nchw_neon;

#endif
