/* int8 weights of a program's convolutions, packed for images channels last. */
#ifndef PQC_PROGRAM_WEIGHTS_H
#define PQC_PROGRAM_WEIGHTS_H

#include "igemm_u8s8/igemm_u8s8.h"

/* A convolution of groups * out output channels, each of kh x kw taps of `in` channels; a matrix has one tap.
 *
 *   depthwise  in = out = 1: for dwconv_nhwc, else for igemm_u8s8
 *   merged     kr groups run over the channels of a whole row of taps, which lie together: for channels that are no multiple of
 *              4; of one group, without dilation along the row */
typedef struct {
    ptrdiff_t groups, out, in, kh, kw;
    bool depthwise, merged;
    int32_t zero; /* the code of zero in the input, subtracted by the compensation */
} pqc_weights_shape;

/* `padded_out` is `out` (depthwise: groups) rounded up to a multiple of 16; `k` counts kr groups (depthwise: groups
 * of taps). */
typedef struct {
    pqc_weights_shape shape;
    ptrdiff_t padded_out, k;
    bool has_min_weight;
    int8_t *bytes;
    int32_t *compensation, *weight_sums; /* groups x padded_out */
    float *scale, *bias;                 /* groups * out, rounded up to a multiple of 16 */
    float largest;                       /* no result has a larger magnitude */
    ptrdiff_t largest_sum;               /* of a channel's |weights| */
} pqc_weights;

enum { PQC_MAX_PRODUCTS = 65536 }; /* in a sum: 255 * 128 times as many stay below 2^31 */

/* NULL if a shape is valid, else what is wrong. */
const char *pqc_weights_check(const pqc_weights_shape *shape);

/* Bytes of memory the packed weights need, 64-aligned. */
ptrdiff_t pqc_weights_bytes(const pqc_weights_shape *shape);

/* Packs `weight`: (groups * out, kh, kw, in) bytes; scale and bias have groups * out numbers. */
void pqc_weights_pack(pqc_weights *packed, const pqc_weights_shape *shape, void *memory,
                      const int8_t *weight, const float *scale, const float *bias);

/* Number of panels: how many tasks the output channels are divided into.  Depthwise layers have panels of channels. */
static inline ptrdiff_t pqc_weights_panels(const pqc_weights *w)
{
    return (w->shape.depthwise ? 1 : w->shape.groups) * pqc_div_round_up(w->padded_out, PQC_NR);
}

#endif
