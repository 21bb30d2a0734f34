/* The output stage of a compiled program: from the integer sums of some pixels to what the next steps read, channels last, in
 * one pass.  For pixel p and channel c, everything in float32:
 *
 *     y = fma((float)acc[p * ld + c], scale[c], bias[c])
 *     y = min(max(y, low), high)
 *     y = y * min(max(y + 3, 0), 6) / 6       if hard_swish
 *     y = y + residual[p][c]                  if there is one; codes stand for (code - zero) / div
 *     y = min(max(y, second_low), second_high)
 *
 * and each output gets y as it is, or its code:
 *
 *     code = clamp(rint(y * mul), lo, hi) + zero        one byte or two
 *
 *   acc         read up to the next multiple of 16 channels, ld being one
 *   residual    may be an output of the same type and place: a pixel is read before it is written
 *   lo, hi      integers; lo + zero and hi + zero fit into the type
 *   div         within pqc_reciprocal_is_safe: the division is correctly rounded
 *
 * Ties to even, as the arithmetic of the library's quantisers.  Returns what a code cannot carry, an OR of the flags of pack_u8.h:
 * NaN, and numbers below zero for an output that refuses them; the codes of such a call are meaningless.  Same bits and the same
 * answer from every ISA. */
#ifndef PQC_FINISH_NHWC_H
#define PQC_FINISH_NHWC_H

#include "pack_u8/pack_u8.h"

typedef enum { PQC_NOTHING, PQC_FLOATS, PQC_U8_CODES, PQC_S16_CODES } pqc_content;

/* Pixels of codes or floats in memory, and how a code is made. */
typedef struct {
    pqc_content content;
    void *at;        /* channel 0 of the first pixel */
    ptrdiff_t pixel; /* bytes from a pixel to the next */
    float mul, div, lo, hi;
    int32_t zero;
    bool refuses_negative;
} pqc_pixels;

enum { PQC_MAX_OUTPUTS = 3 };

typedef struct {
    const float *scale, *bias;
    float low, high, second_low, second_high;
    bool hard_swish;
    unsigned known; /* of pqc_finish_known, or 0 */
    pqc_pixels residual, output[PQC_MAX_OUTPUTS];
    int outputs;
} pqc_finish_params;

/* What can be left out because it changes nothing: a clamp whose bounds are infinite or not within those of all codes; a look for
 * NaN or for what is negative. */
enum {
    PQC_NO_FIRST_CLAMP = 1,
    PQC_NO_SECOND_CLAMP = 2,
    PQC_NEVER_NAN = 4,
    PQC_NEVER_NEGATIVE = 8,
    PQC_PLAIN = 16 /* all of these but for the second clamp, and no HardSwish */
};

static inline ptrdiff_t pqc_content_size(pqc_content content)
{
    return content == PQC_FLOATS ? 4 : content == PQC_S16_CODES ? 2 : 1;
}

/* The same from some channel on. */
static inline pqc_finish_params pqc_finish_from(const pqc_finish_params *f, ptrdiff_t channel)
{
    pqc_finish_params part = *f;
    part.scale += channel;
    part.bias += channel;
    if (part.residual.content != PQC_NOTHING)
        part.residual.at =
            (char *)part.residual.at + channel * pqc_content_size(part.residual.content);
    for (int i = 0; i < part.outputs; i++)
        part.output[i].at =
            (char *)part.output[i].at + channel * pqc_content_size(part.output[i].content);
    return part;
}

typedef unsigned pqc_finish_nhwc_fn(const int32_t *acc, ptrdiff_t ld, int pixels, int channels,
                                    const pqc_finish_params *f);

pqc_finish_nhwc_fn pqc_finish_nhwc_scalar, pqc_finish_nhwc_avx2, pqc_finish_nhwc_avx512;

/* What is known of a call: |fma(acc, scale, bias)| <= largest; infinity or NaN if there is no such bound. */
unsigned pqc_finish_known(const pqc_finish_params *f, float largest);

#endif
