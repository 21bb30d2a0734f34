/* One M-block: some pixels (or rows of a matrix) times one weight panel, u8 x s8, requantised to float32 and stored.
 * Shared by convolutions and linear layers. */
#ifndef PQC_IGEMM_MBLOCK_H
#define PQC_IGEMM_MBLOCK_H

#include "conv.h"
#include "igemm_u8s8/igemm_u8s8.h"
#include "requantize/requantize.h"

enum { PQC_MC = 48, PQC_MAX_MC = 64 }; /* pixels of an M-block: preferred, and at most */

/* Multiply-adds per grain of pqc_parallel_tasks: about 5 us of vector code, or of AMX in convolutions. */
#define PQC_MAC_GRAIN ((ptrdiff_t)1 << 20)
#define PQC_AMX_GRAIN ((ptrdiff_t)1 << 22)

/* M-blocks of nearly equal size for n pixels. */
static inline ptrdiff_t pqc_mblocks(ptrdiff_t n)
{
    return n <= PQC_MAX_MC ? 1 : pqc_div_round_up(n, PQC_MC);
}

/* Computes `scale` and `bias` for every output channel. */
void pqc_conv_scales(const pqc_packed_weights *packed, const pqc_conv_call *call, float *scale,
                     float *bias);

/* A range of kr groups, and the compensation of its sums. */
typedef struct {
    ptrdiff_t first, k;
    int32_t compensation[PQC_NR], weight_sums[PQC_NR];
} pqc_k_range;

typedef struct {
    const pqc_packed_weights *packed;
    const pqc_subconv *sub;
    const pqc_k_range *range; /* kr groups that contribute; NULL means all */
    ptrdiff_t group, panel;
    int32_t zero;  /* the activations are q + zero, with compensations to match; or zero is 0 */
    bool prefetch; /* the destinations are not in L2 */
    const uint8_t *x;
    const int32_t *offset, *pixel;
    int pixels;
    pqc_output_f32 to; /* destination of the panel's first channel at the first pixel */
} pqc_mblock;

/* The parameters of an M-block's products, whose sums fit into 32 bits. */
pqc_igemm_params pqc_mblock_igemm(const pqc_mblock *block);
int pqc_mblock_channels(const pqc_mblock *block);

/* Multiplies and requantises. */
void pqc_mblock_run(const pqc_mblock *block);

#endif
