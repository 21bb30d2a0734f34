/* The output stage of integer products: what becomes of a sum before it is stored.  Every product ends in it, in the body that
 * summed (igemm_u8s8_f32, conv_chw_u8s8, dwconv_u8s8, amx_gemm) or in the passes over stored sums below:
 *
 *     y[c * channel_stride + p * pixel_stride] = fma((float)sum[p][c], scale[c], bias[c])
 *
 * One rounding of the sum and one of the whole.  Each ISA has one inline function for it, `finish`, in requantize_<isa>.h, and a
 * struct of what it needs of a channel, in registers.  Whatever else an output is to go through (an affine map of a channel, an
 * activation, a residual, bounds and a zero point of bytes) gets a field of pqc_output and a line of `finish`; bodies do not
 * change.  Same bits from every ISA. */
#ifndef PQC_REQUANTIZE_H
#define PQC_REQUANTIZE_H

#include "pqc.h"

#include <math.h>

typedef struct {
    const float *scale, *bias; /* of channel 0 */
    float *y;                  /* of channel 0, pixel 0 */
    /* Floats from a pixel to the next, and from a channel to the next.  One of them is 1: nchw has a channel's pixels together,
     * nhwc a pixel's channels (or the columns of a matrix).  A subconvolution has pixels further apart. */
    ptrdiff_t pixel_stride, channel_stride;
    bool stream; /* y is not wanted in the caches: bodies may write around them */
} pqc_output;

/* Results of some pixels and channels. */
typedef struct {
    pqc_output to;
    int pixels, channels;
} pqc_output_block;

/* The same output from some channel on. */
static inline pqc_output pqc_output_from(const pqc_output *o, ptrdiff_t channel)
{
    pqc_output part = *o;
    part.scale += channel;
    part.bias += channel;
    part.y += channel * o->channel_stride;
    return part;
}

/* `sum` is an integer, converted. */
static inline float pqc_finish(float sum, const pqc_output *o, ptrdiff_t channel)
{
    return fmaf(sum, o->scale[channel], o->bias[channel]);
}

/* Sums that are stored: acc[p * ld + c], read up to the next multiple of 16 channels, ld being one.  Of nchw at most 64 pixels. */
typedef struct {
    const int32_t *acc;
    ptrdiff_t ld;
    int pixels, channels;
} pqc_sums;

typedef void pqc_requantize_fn(pqc_sums sums, const pqc_output *o);

pqc_requantize_fn pqc_requantize_nhwc_scalar, pqc_requantize_nhwc_avx2, pqc_requantize_nhwc_avx512,
    pqc_requantize_nhwc_neon;
pqc_requantize_fn pqc_requantize_nchw_scalar, pqc_requantize_nchw_avx2, pqc_requantize_nchw_avx512,
    pqc_requantize_nchw_neon;

#endif
