/* The whole output stage (requantize.h) of nhwc, in one pass over stored sums: what a compiled program's products end in.
 *
 *   acc        acc[p * ld + c], read up to the next multiple of 16 channels, ld being one
 *   residual   may be an output of the same type and place: a pixel is read before it is written
 *
 * Returns what a code cannot carry, an OR of the flags of pack_u8.h: NaN, and numbers below zero for an output that refuses them;
 * the codes of such a call are meaningless.  Same bits and the same answer from every ISA. */
#ifndef PQC_FINISH_NHWC_H
#define PQC_FINISH_NHWC_H

#include "pack_u8/pack_u8.h"
#include "requantize/requantize.h"

/* What can be skipped because it has no effect: a clamp, a check for NaN, a check for negative values. */
enum {
    PQC_NO_FIRST_CLAMP = 1,
    PQC_NO_SECOND_CLAMP = 2,
    PQC_NEVER_NAN = 4,
    PQC_NEVER_NEGATIVE = 8,
    PQC_PLAIN =
        16, /* All of these; integers become codes of at most 16 bits, one output of a type, and |y * mul| < 2^30. */
    PQC_SWISH =
        32, /* PQC_PLAIN; HardSwish and nothing but an affine map becomes bytes: finish_nhwc_swish_avx512.h may be taken. */
    PQC_SMALL_CODES = 64 /* |y * mul| < 2^22 of all codes, and mul is not tiny. */
};

typedef unsigned pqc_finish_nhwc_fn(const int32_t *acc, ptrdiff_t ld, int pixels, int channels,
                                    const pqc_output *f);

pqc_finish_nhwc_fn pqc_finish_nhwc_scalar, pqc_finish_nhwc_avx2, pqc_finish_nhwc_avx512;

/* If all outputs are codes, moves a clamp that comes last into their bounds. */
void pqc_finish_fold(pqc_output *f);

/* What is known of a call: |fma(acc, scale, bias)| <= largest, or no bound if that is infinity or NaN. */
unsigned pqc_finish_known(const pqc_output *f, float largest);

#endif
