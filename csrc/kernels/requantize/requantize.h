/* The output stage of integer products: what becomes of a sum before it is stored.  For pixel p and channel c, in float32, each
 * operation rounded once:
 *
 *     y = fma((float)sum[p][c], scale[c], bias[c])      `finish` of requantize_<isa>.h
 *     y = min(max(y, low), high)
 *     y = y * min(max(y + 3, 0), 6) / 6                 if hard_swish
 *     y = y * factor + offset                           if affine.there: rounded twice
 *     y = clamp(rint(y * mul), lo, hi) / div            of `between`, if it has a content: what codes stand for
 *     y = y + residual[p][c]                            if there is one; codes stand for (code - zero) / div
 *     y = min(max(y, second_low), second_high)
 *
 * and each output gets y as it is, or its code, of one byte or two:
 *
 *     code = clamp(rint(y * mul), lo, hi) + zero
 *
 * Ties to even, NaN stays NaN up to a code; `between` flags it and makes it lo / div.  Two structs say how much of it a body does,
 * and in which layout it stores:
 *
 *   pqc_output_f32   the first line, floats, nchw or nhwc: what layers end in, in the body that summed (igemm_u8s8_f32,
 *                    conv_chw_u8s8, dwconv_u8s8, amx_gemm, winograd) or in the passes over stored sums below.  Such bodies keep
 *                    copies of it beside their tiles, so it is small
 *   pqc_output       all of it, nhwc, up to three outputs of floats or codes: what the steps of programs end in (finish_nhwc/,
 *                    igemm_nhwc/)
 *
 * Same bits from every ISA. */
#ifndef PQC_REQUANTIZE_H
#define PQC_REQUANTIZE_H

#include "pqc.h"

#include <math.h>

typedef enum { PQC_NOTHING, PQC_FLOATS, PQC_U8_CODES, PQC_S16_CODES } pqc_content;

/* Pixels of codes or floats in memory, and how a code is made.  lo and hi are integers, and lo + zero and hi + zero
 * fit into the type.  div satisfies pqc_reciprocal_is_safe, so that the division is correctly rounded. */
typedef struct {
    pqc_content content;
    void *at;        /* channel 0 of the first pixel */
    ptrdiff_t pixel; /* bytes between pixels */
    float mul, div, lo, hi;
    int32_t zero;
    bool refuses_negative;
} pqc_pixels;

static inline ptrdiff_t pqc_content_size(pqc_content content)
{
    return content == PQC_FLOATS ? 4 : content == PQC_S16_CODES ? 2 : 1;
}

enum { PQC_MAX_OUTPUTS = 3 };

/* The same factor and offset for all channels. */
typedef struct {
    bool there;
    float factor, offset;
} pqc_linear_map;

/* Of codes of two scales: program/code_sum.h. */
typedef struct {
    bool there;
    float first, second, offset;
} pqc_code_sum;

typedef struct {
    const float *scale, *bias; /* of channel 0 */
    float low, high, second_low, second_high;
    bool hard_swish;
    pqc_linear_map affine;
    unsigned known;     /* of pqc_finish_known, or 0 */
    pqc_pixels between; /* no pixels, codes alone */
    pqc_code_sum sum;   /* what becomes of `between` and the residual, or not there */
    pqc_pixels residual, output[PQC_MAX_OUTPUTS];
    int outputs;
} pqc_output;

static inline void pqc_pixels_skip(pqc_pixels *pixels, ptrdiff_t channels)
{
    if (pixels->content != PQC_NOTHING)
        pixels->at = (char *)pixels->at + channels * pqc_content_size(pixels->content);
}

/* The same output, from `channel`. */
static inline pqc_output pqc_output_from(const pqc_output *o, ptrdiff_t channel)
{
    pqc_output part = *o;
    part.scale += channel;
    part.bias += channel;
    pqc_pixels_skip(&part.residual, channel);
    for (int i = 0; i < part.outputs; i++)
        pqc_pixels_skip(&part.output[i], channel);
    return part;
}

typedef struct {
    const float *scale, *bias; /* from channel 0 */
    float *y;                  /* at channel 0 of pixel 0 */
    /* In floats.  One of them is 1: in nchw a channel's pixels are contiguous, in nhwc a pixel's channels (or a
     * matrix's columns).  A subconvolution has pixels further apart. */
    ptrdiff_t pixel_stride, channel_stride;
    bool stream; /* y need not stay in the caches: bodies may bypass them */
} pqc_output_f32;

/* Where the results of some pixels and channels go. */
typedef struct {
    pqc_output_f32 to;
    int pixels, channels;
    bool is_far; /* the results' lines are not in L2: bodies may prefetch them */
} pqc_output_block;

/* The same output, from `channel`. */
static inline pqc_output_f32 pqc_output_f32_from(const pqc_output_f32 *o, ptrdiff_t channel)
{
    pqc_output_f32 part = *o;
    part.scale += channel;
    part.bias += channel;
    part.y += channel * o->channel_stride;
    return part;
}

/* The first line; `sum` is an integer, converted. */
static inline float pqc_finish(float sum, float scale, float bias)
{
    return fmaf(sum, scale, bias);
}

/* With this operand order NaN stays NaN. */
static inline float pqc_at_least(float y, float low)
{
    return y < low ? low : y;
}

static inline float pqc_at_most(float y, float high)
{
    return y > high ? high : y;
}

static inline float pqc_hard_swish(float y)
{
    return y * pqc_at_most(pqc_at_least(y + 3.0f, 0.0f), 6.0f) / 6.0f;
}

/* Stored sums acc[p * ld + c], read up to the next multiple of 16 channels; ld is a multiple of 16.  For nchw at most
 * 64 pixels. */
typedef struct {
    const int32_t *acc;
    ptrdiff_t ld;
    int pixels, channels;
} pqc_sums;

typedef void pqc_requantize_fn(pqc_sums sums, const pqc_output_f32 *o);

pqc_requantize_fn pqc_requantize_nhwc_scalar, pqc_requantize_nhwc_avx2, pqc_requantize_nhwc_avx512,
    pqc_requantize_nhwc_neon;
pqc_requantize_fn pqc_requantize_nchw_scalar, pqc_requantize_nchw_avx2, pqc_requantize_nchw_avx512,
    pqc_requantize_nchw_neon;

#endif
