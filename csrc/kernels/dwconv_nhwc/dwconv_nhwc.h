/* Depthwise convolution, channels last: each channel with taps of its own, sums exactly in 32 bits.  Of output (i, j), which is
 * number p = i * columns + j:
 *
 *     acc[p * ld + c] = compensation[c] + sum over a < kh, b < kw of
 *         x[i * step_row + j * step_pixel + a * tap_row + b * tap_pixel + c] * w[(b * groups + a / 4) * w_pitch + 4 * c + a % 4]
 *
 *   groups    of four taps of a column, kh / 4 rounded up: what is left of the last is zeros
 *   channels  a multiple of 16, at most 64: x, compensation and w are read so far, and acc is written; ld >= channels
 *   |sum of the products| < 2^31, which 65,536 taps keep to
 *
 * rows and columns may be 0.  Same bits from every ISA. */
#ifndef PQC_DWCONV_NHWC_H
#define PQC_DWCONV_NHWC_H

#include "requantize/requantize.h"

typedef struct {
    const uint8_t *x;                                   /* tap (0, 0) of output (0, 0) */
    ptrdiff_t tap_row, tap_pixel, step_row, step_pixel; /* in bytes; the steps are at least 1 */
    int kh, kw;
    ptrdiff_t rows, columns, channels, ld;
    ptrdiff_t w_pitch; /* bytes between groups */
    const int8_t *w;
    const int32_t *compensation;
} pqc_dwconv_nhwc_params;

typedef void pqc_dwconv_nhwc_fn(const pqc_dwconv_nhwc_params *g, int32_t *acc);

pqc_dwconv_nhwc_fn pqc_dwconv_nhwc_scalar, pqc_dwconv_nhwc_avx2, pqc_dwconv_nhwc_avxvnni,
    pqc_dwconv_nhwc_vnni, pqc_dwconv_nhwc_neon;

/* The same sums through the output stage, as bytes.  `f` has one output, of bytes, and no residual; its `known`
 * includes PQC_PLAIN, and PQC_SWISH if it has HardSwish or an affine map (finish_nhwc.h).  Output (0, 0) is stored at
 * the output's beginning, the others pixel by pixel, with rows `row` bytes apart.  1 <= channels <= g->channels; `ld`
 * is ignored.  The taps must satisfy pqc_dwconv_makes_codes. */
typedef void pqc_dwconv_nhwc_codes_fn(const pqc_dwconv_nhwc_params *g, ptrdiff_t row, int channels,
                                      const pqc_output *f);

pqc_dwconv_nhwc_codes_fn pqc_dwconv_nhwc_codes_vnni;

/* True if the kernel is k x k and neighbouring outputs are `stride` columns apart.  A column is then unpacked once
 * for all outputs that use it. */
static inline bool pqc_dwconv_shares_columns(const pqc_dwconv_nhwc_params *g, int k, int stride)
{
    return g->kh == k && g->kw == k && g->step_pixel == stride * g->tap_pixel;
}

static inline bool pqc_dwconv_makes_codes(const pqc_dwconv_nhwc_params *g)
{
    return pqc_dwconv_shares_columns(g, 3, 1) || pqc_dwconv_shares_columns(g, 3, 2) ||
           pqc_dwconv_shares_columns(g, 5, 1) || pqc_dwconv_shares_columns(g, 5, 2);
}

#endif
