/* One M-block: some pixels (or rows of a matrix) by one weight panel, multiplied and stored.  What convolutions and linear
 * layers share. */
#ifndef PQC_IGEMM_MBLOCK_H
#define PQC_IGEMM_MBLOCK_H

#include "conv.h"
#include "igemm_u8s8/igemm_u8s8.h"
#include "requantize/requantize.h"

enum { PQC_MC = 48, PQC_MAX_MC = 64 }; /* pixels of an M-block: wanted, at most */

/* Multiply-adds, as the grain of pqc_parallel_tasks: about 5 us of vectors', or of AMX's in convolutions. */
#define PQC_MAC_GRAIN ((ptrdiff_t)1 << 20)
#define PQC_AMX_GRAIN ((ptrdiff_t)1 << 22)

/* M-blocks of nearly equal size for n pixels. */
static inline ptrdiff_t pqc_mblocks(ptrdiff_t n)
{
    return n <= PQC_MAX_MC ? 1 : pqc_div_round_up(n, PQC_MC);
}

/* Fills `scale` and `bias`, one value for each output channel. */
void pqc_conv_scales(const pqc_packed_weights *packed, const pqc_conv_call *call, float *scale,
                     float *bias);

/* A run of kr groups, and what their sums begin with. */
typedef struct {
    ptrdiff_t first, k;
    int32_t compensation[PQC_NR], weight_sums[PQC_NR];
} pqc_k_range;

typedef struct {
    const pqc_packed_weights *packed;
    const pqc_subconv *sub;
    const pqc_k_range *range; /* the kr groups whose sum is not zero; NULL means all */
    ptrdiff_t group, panel;
    int32_t zero;  /* the activations are q + zero, and the compensations for that, or zero is 0 */
    bool prefetch; /* the results' places are not in L2 */
    const uint8_t *x;
    const int32_t *offset, *pixel;
    int pixels;
    pqc_output_f32 to; /* of the panel's first channel and the first pixel */
} pqc_mblock;

/* The products of an M-block whose sums fit into 32 bits. */
pqc_igemm_params pqc_mblock_igemm(const pqc_mblock *block);
int pqc_mblock_channels(const pqc_mblock *block);

/* Multiplies and requantises. */
void pqc_mblock_run(const pqc_mblock *block);

#endif
