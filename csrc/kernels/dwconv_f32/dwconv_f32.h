/* Depthwise convolutions of float32, channels last: results that have the same taps on the image.
 *
 *     acc = y[p * y_pixel + c];
 *     for i < kh, j < kw: acc = fma(x[p * x_pixel + i * x_row + j * x_tap + c], w[i * w_row + j * w_tap + c], acc);
 *     y[p * y_pixel + c] = acc
 *
 *   pixels, channels, kh, kw   may be 0; y overlaps neither x nor w
 *
 * NaN and infinities as fma has them.  Same bits from every ISA. */
#ifndef PQC_DWCONV_F32_H
#define PQC_DWCONV_F32_H

#include "pqc.h"

typedef struct {
    const float *x, *w;
    float *y;
    ptrdiff_t pixels, channels, kh, kw;
    ptrdiff_t x_pixel, x_row, x_tap, w_row, w_tap, y_pixel; /* floats from one to the next */
} pqc_dwconv_f32;

typedef void pqc_dwconv_f32_fn(const pqc_dwconv_f32 *d);

pqc_dwconv_f32_fn pqc_dwconv_f32_scalar, pqc_dwconv_f32_avx2, pqc_dwconv_f32_avx512,
    pqc_dwconv_f32_neon;

#endif
