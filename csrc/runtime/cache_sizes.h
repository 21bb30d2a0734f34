/* Assumptions about cache sizes, in bytes, for processors from 2013 to now, all in this file.  They are what a core
 * can count on, not the sizes of this machine: a choice that depends on them must be the same wherever a layer was
 * packed, and a factor of two matters little.  What a kernel keeps on its stack is documented at the kernel. */
#ifndef PQC_CACHE_SIZES_H
#define PQC_CACHE_SIZES_H

#include "pqc.h"

enum {
    PQC_CACHE_LINE = 64,

    /* L1: operands that are reused for all output channels. */
    PQC_L1_CHW_PANEL = 16 << 10, /* c4 blocks of an M-block of pixels (conv_chw) */
    /* rows of a packed panel of floats that are multiplied at a time (float_conv_step) */
    PQC_L1_GEMM_PANEL = 16 << 10,
    PQC_L1_AMX_PANEL =
        32 << 10, /* the B panel of an M-block, if the weights stay in L2 (conv_amx) */

    /* L2: what is reused while other data stream past it. */
    PQC_L2_WORKING_SET = 2 << 20, /* inputs and outputs up to this size are not prefetched */
    /* a layer's weights; if larger, M-blocks are large, so that the weights are read few times */
    PQC_L2_AMX_WEIGHTS = 1 << 20,
    PQC_L2_AMX_PANEL = 512 << 10, /* the B panel of such an M-block */
    PQC_L2_TILE_WEIGHTS =
        512 << 10, /* a convolution's weights, read for every M-block (conv_tiles) */
    /* a convolution's weights, all read for every M-block (conv_step) */
    PQC_L2_MBLOCK_WEIGHTS = 96 << 10,
    /* weight panels that an M-block is multiplied with together (linear) */
    PQC_L2_LINEAR_WEIGHTS = 640 << 10,
    /* weights that are prefetched while the previous ones are used */
    PQC_L2_NEXT_PANEL = 256 << 10,
    /* rows of the images that some steps read and write together (bands) */
    PQC_L2_BAND = 512 << 10,
    PQC_L2_GATHER_ROWS =
        64 << 10, /* image rows that are gathered together, on both sides (gather_step) */
    PQC_L2_LINEAR_ROWS = 1 << 20,      /* quantised rows (linear) */
    PQC_L2_WINOGRAD_PATCH = 256 << 10, /* transformed inputs (conv_winograd) */
    PQC_L2_WINOGRAD_NHWC = 384 << 10,  /* transformed inputs and products (conv_winograd_nhwc) */
    /* transformed weights; if larger, they are read from further away (conv_winograd_nhwc) */
    PQC_L2_WINOGRAD_WEIGHTS = 1536 << 10,
    PQC_L2_WINOGRAD_THREAD = 768 << 10, /* all that a thread transforms; above, another algorithm */

    /* About half of the last-level cache: larger outputs would evict each other. */
    PQC_LLC_STREAM = 16 << 20
};

/* Rounded up to a whole number of cache lines. */
static inline ptrdiff_t pqc_line_aligned(ptrdiff_t bytes)
{
    return (bytes + PQC_CACHE_LINE - 1) & ~(ptrdiff_t)(PQC_CACHE_LINE - 1);
}

#endif
