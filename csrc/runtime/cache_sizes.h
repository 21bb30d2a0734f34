/* Assumptions about caches: every such constant, in bytes, for processors from 2013 to now.
 *
 * Sizes are those that a core can count on, not those of the machine at hand: a choice that depends on them must not depend on
 * where a layer was packed, and a factor of two matters little.  What a kernel keeps on its stack is written beside the kernel. */
#ifndef PQC_CACHE_SIZES_H
#define PQC_CACHE_SIZES_H

#include "pqc.h"

enum {
    PQC_CACHE_LINE = 64,

    /* L1: operands that all output channels pass over. */
    PQC_L1_CHW_PANEL = 16 << 10, /* c4 blocks of a panel of pixels (conv_chw) */
    PQC_L1_GEMM_PANEL =
        16 << 10, /* rows of a packed panel of floats, multiplied at a time (float_conv_step) */
    PQC_L1_AMX_PANEL =
        32 << 10, /* the B panel of an M-block, if the weights stay in L2 (conv_amx) */

    /* L2: what is reused while other data stream past it. */
    PQC_L2_WORKING_SET = 2 << 20, /* inputs and outputs up to this size are not prefetched */
    PQC_L2_AMX_WEIGHTS =
        1 << 20, /* a layer's weights; above, few large M-blocks read them few times */
    PQC_L2_AMX_PANEL = 512 << 10, /* the B panel of such an M-block */
    PQC_L2_TILE_WEIGHTS =
        512 << 10, /* a convolution's weights, read for each M-block (conv_tiles) */
    PQC_L2_MBLOCK_WEIGHTS = 96 << 10, /* a convolution's, all read for each M-block (conv_step) */
    PQC_L2_LINEAR_WEIGHTS =
        640 << 10,                 /* weight panels that an M-block passes over together (linear) */
    PQC_L2_NEXT_PANEL = 256 << 10, /* of weights that are fetched while those before are used */
    PQC_L2_GATHER_ROWS =
        64 << 10, /* image rows that are gathered together, on both sides (gather_step) */
    PQC_L2_LINEAR_ROWS = 1 << 20,       /* quantised rows (linear) */
    PQC_L2_WINOGRAD_PATCH = 256 << 10,  /* transformed inputs (conv_winograd) */
    PQC_L2_WINOGRAD_THREAD = 768 << 10, /* all that a thread transforms; above, another algorithm */

    /* The last level, about half of it: larger outputs would evict each other. */
    PQC_LLC_STREAM = 16 << 20
};

/* Up to a whole number of cache lines. */
static inline ptrdiff_t pqc_line_aligned(ptrdiff_t bytes)
{
    return (bytes + PQC_CACHE_LINE - 1) & ~(ptrdiff_t)(PQC_CACHE_LINE - 1);
}

#endif
