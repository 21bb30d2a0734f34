/* Quantise, convolve, requantise: y = fma((float)(integer sum), 1 / (scale_x * scale_w[c]), bias[c]).
 *
 * The integer sum is exact.  Its conversion to float rounds once, the scale once (from double), the
 * fma once: 1.5 units in the last place of y - bias, if the scale is a normal number.  Same bits
 * from every ISA and number of threads. */
#ifndef PQC_CONV_H
#define PQC_CONV_H

#include "conv_pack_weights.h"
#include "pack_u8/pack_u8.h"

typedef struct {
    const float *x;    /* batch x groups * in x inputs */
    const float *bias; /* groups * out, or NULL */
    float *y;          /* batch x groups * out x outputs */
    ptrdiff_t batch;
    pqc_u8_quant q;
    float div; /* divisor of the quantised x (its scale) */
    /* A matrix of two or more rows may have a quantiser per row, all with q's zero, and 1 / div per row; else NULL. */
    const pqc_u8_quant *row_q;
    const double *row_inverse;
    /* Traverse the weights from their end.  Alternate on each call, so that the most recently used ones are still
     * cached. */
    bool backwards;
    void *workspace; /* pqc_conv_prepare or pqc_linear_workspace bytes, 64-aligned */
    /* Set by pqc_conv_prepare, unused for a matrix: how many images are packed and multiplied at a time, the side of
     * Winograd's tiles (or 0), and how many threads have how many bytes of scratch memory. */
    ptrdiff_t images_in_flight;
    int side, threads;
    ptrdiff_t scratch;
} pqc_conv_call;

/* True if integers can be used: every 1 / (div * scale_w) is a normal float. */
bool pqc_conv_scale_is_safe(const pqc_packed_weights *packed, float div);

/* Chooses the algorithm for call->batch images; returns the bytes of workspace it needs.  Small images are divided
 * among the threads; large ones are run one at a time, on all threads. */
ptrdiff_t pqc_conv_prepare(const pqc_packed_weights *packed, const pqc_conv_view *view,
                           pqc_conv_call *call);

/* Returns the flags of pack_u8.h: if there are any, y is not meaningful. */
unsigned pqc_conv_run(const pqc_packed_weights *packed, const pqc_conv_view *view,
                      const pqc_conv_call *call);

/* The same for a matrix, x (rows, in) to y (rows, out); the weights have one group and kernels of 1. */
ptrdiff_t pqc_linear_workspace(const pqc_packed_weights *packed, ptrdiff_t rows);
unsigned pqc_linear_run(const pqc_packed_weights *packed, const pqc_conv_call *call);

#endif
