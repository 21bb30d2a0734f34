/* Depthwise convolution, channels last: each channel with taps of its own, sums exactly in 32 bits.
 *
 *     acc[p * ld + c] = compensation[c] + sum over j < taps of x[pixel[p] + offset[j] + c] * w[j / 2 * w_pitch + 2 * c + j % 2]
 *
 *   w         words, of each two taps together: what is left of an odd number of taps is zeros
 *   channels  a multiple of 16: x, compensation and w are read so far, and acc is written; ld >= channels
 *   |sum of the products| < 2^31, which 65,536 taps keep to
 *
 * pixels may be 0.  Same bits from every ISA. */
#ifndef PQC_DWCONV_NHWC_H
#define PQC_DWCONV_NHWC_H

#include "pqc.h"

typedef struct {
    const uint8_t *x;
    const int32_t *offset;
    ptrdiff_t taps, channels, ld;
    ptrdiff_t w_pitch; /* words from a pair of taps to the next */
    const int16_t *w;
    const int32_t *compensation;
} pqc_dwconv_nhwc_params;

typedef void pqc_dwconv_nhwc_fn(const pqc_dwconv_nhwc_params *g, const int32_t *pixel, int pixels,
                                int32_t *acc);

pqc_dwconv_nhwc_fn pqc_dwconv_nhwc_scalar, pqc_dwconv_nhwc_avx2;

#endif
