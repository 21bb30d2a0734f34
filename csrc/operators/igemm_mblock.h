/* What convolutions and linear layers share: scales, and the sums of one tile. */
#ifndef PQC_CONV_BLOCK_H
#define PQC_CONV_BLOCK_H

#include "conv.h"
#include "requantize/requantize.h"
#include "igemm_u8s8/igemm_u8s8.h"

enum { PQC_TILE = 48, PQC_MOST_TILE = 64 }; /* pixels of a tile: wanted, at most */

/* Multiply-adds, as the unit of pqc_parallel_tasks: about 5 us of vectors', or of a matrix unit's in convolutions. */
#define PQC_PRODUCTS_GRAIN ((ptrdiff_t)1 << 20)
#define PQC_UNIT_GRAIN ((ptrdiff_t)1 << 22)

/* Inputs and outputs of so much stay in the second cache. */
#define PQC_NEAR_BYTES ((ptrdiff_t)2 << 20)

/* Tiles of nearly equal size for n pixels. */
static inline ptrdiff_t pqc_tiles(ptrdiff_t n)
{
    return n <= PQC_MOST_TILE ? 1 : (n + PQC_TILE - 1) / PQC_TILE;
}

/* Fills `scale` and `bias`, one value for each of the plan's output channels. */
void pqc_conv_scales(const pqc_conv_plan *plan, const pqc_conv_call *call, float *scale,
                     float *bias);

/* Some steps behind each other, and what their sums begin with. */
typedef struct {
    ptrdiff_t first, k;
    int32_t start[PQC_BLOCK_CHANNELS], sum[PQC_BLOCK_CHANNELS];
} pqc_conv_steps;

typedef struct {
    const pqc_conv_plan *plan;
    const pqc_conv_piece *piece;
    const pqc_conv_steps *steps; /* the others add up to nothing; NULL: all */
    ptrdiff_t group, block;
    bool has_zero; /* the activations are q + 128 */
    bool fetch;    /* the results' places are not in the second cache */
    const uint8_t *x;
    const int32_t *offset, *pixel;
    int pixels;
    const float *scale, *bias; /* of the block's first channel */
} pqc_conv_tile;

/* The products of a tile whose sums fit into 32 bits. */
pqc_gemm_s8_block pqc_conv_tile_products(const pqc_conv_tile *tile);
int pqc_conv_tile_channels(const pqc_conv_tile *tile);

/* Multiplies and dequantises: pixels to rows of y, or to columns. */
void pqc_conv_tile_run(const pqc_conv_tile *tile, bool rows, float *y, ptrdiff_t stride);

#endif
