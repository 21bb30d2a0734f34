/* Channels of a depthwise convolution, quantised on the way; no image in bytes is made.  Of each channel:
 *
 *     y[i][j] = finish(sum)        i < out_height, j < out_width; requantize.h
 *     sum = sum over a, b < kernel of q(x[i * stride + a - top][j * stride + b - left]) * w[a][b]
 *     q(x) = clamp(rint(x * mul), lo, hi), and 0 outside of the image
 *
 * The sum of 49 products of at most 255 * 128 stays below 2^24 and so is exact as a float, too.
 * top and left are not negative, there is an output, q.zero is 128, or 0 for an unsigned format.  Same bits
 * as pack_u8/ and conv_chw_u8s8/ give.  Returns the flags of pack_u8.h for the x that are used:
 * if there are any, y is not meaningful.
 *
 * The table's field is NULL where only conv_chw_u8s8 knows depthwise layers. */
#ifndef PQC_DWCONV_U8S8_H
#define PQC_DWCONV_U8S8_H

#include "pack_u8/pack_u8.h"
#include "requantize/requantize.h"

enum { PQC_DWCONV_MAX_KERNEL = 7, PQC_DWCONV_MAX_WIDTH = 640 };

typedef struct {
    const float *x; /* the first channel's plane; the others follow it */
    ptrdiff_t channels, height, width;
    int kernel, stride; /* 3, 5 or 7; 1 or 2 */
    ptrdiff_t top, left;
    const int8_t *taps;     /* w as kr groups of four taps along a row, padded with zeros */
    ptrdiff_t taps_step;    /* bytes between kr groups */
    ptrdiff_t taps_channel; /* bytes between channels */
    pqc_u8_quant q;
    pqc_output_f32 to; /* nchw, contiguous planes */
    ptrdiff_t out_height, out_width;
    bool prefetch; /* prefetch the next x and y */
} pqc_dwconv_params;

typedef unsigned pqc_dwconv_u8s8_fn(const pqc_dwconv_params *p);

pqc_dwconv_u8s8_fn pqc_dwconv_u8s8_avx2, pqc_dwconv_u8s8_vnni;

/* Width of a row including the padding that outputs read; it and the width are at most PQC_DWCONV_MAX_WIDTH. */
static inline ptrdiff_t pqc_dwconv_padded_width(const pqc_dwconv_params *p)
{
    return (p->out_width - 1) * p->stride + p->kernel;
}

/* Advances p by this many channels, which may be negative. */
static inline void pqc_dwconv_move(pqc_dwconv_params *p, ptrdiff_t channels)
{
    p->x += channels * p->height * p->width;
    p->taps += channels * p->taps_channel;
    p->to = pqc_output_f32_from(&p->to, channels);
}

#endif
