/* Maxima of bytes over windows, channels last:
 *
 *     y[p * y_pixel + c] = max over i < kh, j < kw of x[p * step + i * tap_row + j * tap_pixel + c]
 *
 *   kh, kw, channels  at least 1: as many channels are read of each tap, and written
 *
 * pixels may be 0; x and y do not overlap.  Same bits from every ISA. */
#ifndef PQC_MAXPOOL_NHWC_H
#define PQC_MAXPOOL_NHWC_H

#include "pqc.h"

typedef struct {
    const uint8_t *x;
    /* distances between taps and between pixels, in bytes */
    ptrdiff_t kh, kw, tap_row, tap_pixel, step;
    ptrdiff_t channels, y_pixel;
} pqc_maxpool_params;

typedef void pqc_maxpool_nhwc_fn(const pqc_maxpool_params *g, ptrdiff_t pixels,
                                 uint8_t *restrict y);

pqc_maxpool_nhwc_fn pqc_maxpool_nhwc_scalar, pqc_maxpool_nhwc_avx2, pqc_maxpool_nhwc_avx512,
    pqc_maxpool_nhwc_neon;

#endif
