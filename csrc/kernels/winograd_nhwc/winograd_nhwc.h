/* Winograd's F(4 x 4, 3 x 3) on exact integers, as in winograd.h, for images whose channels lie together.
 *
 * Here the factors by which A' there exceeds that of the paper are, for the rows of a tile, in the weights:
 *
 *                            6  0  0
 *                           -4 -4 -4                 1  1  1  1  1  0
 *     u = F g G',      F =  -4  4 -4      sums of    0  1 -1  2 -2  0
 *                            1  2  4      columns:   0  1  1  4  4  0
 *                            1 -2  4                 0  1 -1  8 -8  1
 *                            0  0 24
 *
 * and the sums of rows are multiplied by A of winograd.h.  An element of u is at most 24 * 7 * 128 = 21504.
 *
 * The transformed operands, of positions p in the square of 6 x 6:
 *
 *   inputs    [p][tile][channel]: 16 bits; a tile has pqc_winograd_nhwc_k(channels) of them, those past the last are arbitrary
 *   weights   [p][pair of channels][output channel][channel]: 16 bits; 0 past the last channel
 *   products  [p][tile][output channel]: 32 bits
 *
 * A call takes one panel: 1 to 4 vectors of 16 output channels. */
#ifndef PQC_WINOGRAD_NHWC_H
#define PQC_WINOGRAD_NHWC_H

#include "igemm_u8s8/igemm_u8s8.h"

enum { PQC_WINOGRAD_SIDE = 4, PQC_WINOGRAD_TAPS = 6, PQC_WINOGRAD_POSITIONS = 36 };

/* Channels of a transformed tile: whole vectors. */
static inline ptrdiff_t pqc_winograd_nhwc_k(ptrdiff_t channels)
{
    return pqc_round_up(channels, 32);
}

/* `x`: the first tap of the first output.  Rows and columns past the last one repeat it; reads up to 31 bytes past the
 * channels of a pixel. */
typedef struct {
    const uint8_t *x;
    ptrdiff_t row, pixel, rows, columns; /* bytes between rows and between pixels; their numbers */
    ptrdiff_t channels;
    ptrdiff_t across; /* tiles in a row of tiles */
} pqc_winograd_nhwc_image;

/* v and u of all positions, whose distances are v_position words and pairs * vectors * 32 words. */
typedef struct {
    const int16_t *v, *u;
    ptrdiff_t v_position, m_position; /* m_position in numbers of 32 bits */
    ptrdiff_t k, pairs;               /* words of a tile; pairs of channels */
    int vectors;
} pqc_winograd_nhwc_operands;

typedef struct {
    /* Transforms tiles `first` to `first + tiles`, in reading order. */
    void (*inputs)(const pqc_winograd_nhwc_image *image, ptrdiff_t first, ptrdiff_t tiles,
                   ptrdiff_t v_position, int16_t *v);

    void (*products)(const pqc_winograd_nhwc_operands *operands, ptrdiff_t tiles, int32_t *m);

    /* compensation[c] + sum for `vectors` times 16 channels of neighbouring tiles: to[pixel][channel] for each of the four
     * rows of pixels, which are to_row numbers apart. */
    void (*sums)(const int32_t *m, ptrdiff_t m_position, int vectors, ptrdiff_t tiles,
                 const int32_t *compensation, int32_t *to, ptrdiff_t to_row);

    /* What 16 results cost, in instructions: `product` those of a pair of channels here, `direct` those of four channels by
     * igemm_u8s8; `transforms` multiplies the costs of transforms with 512 bits. */
    int product, direct, transforms;
} pqc_winograd_nhwc;

/* The table's field is NULL elsewhere. */
extern const pqc_winograd_nhwc pqc_winograd_nhwc_avx2, pqc_winograd_nhwc_avxvnni,
    pqc_winograd_nhwc_avx512, pqc_winograd_nhwc_vnni;

/* u of a 3 x 3 kernel. */
void pqc_winograd_nhwc_weights(const int8_t *g, int16_t u[PQC_WINOGRAD_POSITIONS]);

#endif
