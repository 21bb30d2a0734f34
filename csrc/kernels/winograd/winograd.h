/* Sums of a 3 x 3 convolution of stride 1 by Winograd's F(m x m, 3 x 3), m = 2 or 4 (Lavin and Gray, arXiv 1509.09308): a
 * tile of m x m outputs from (m + 2)^2 products where the definition takes 9 m^2: 4 or 2.25 for an output instead of 9.
 *
 * In integers it is exact.  With d the (m + 2) x (m + 2) inputs of a tile and g the 3 x 3 weights,
 *
 *     s^2 * sums = A' [(B' d B) . (G g G')] A
 *
 * m = 2, s = 2:       1  0 -1  0         2  0  0         1  1  1  0
 *                B' = 0  1  1  0     G = 1  1  1    A' = 0  1 -1 -1
 *                     0 -1  1  0         1 -1  1
 *                     0  1  0 -1         0  0  2
 *
 * m = 4, s = 24:      4  0 -5  0  1  0       1  0  0         6 -4 -4  1  1  0
 *                     0 -4 -4  1  1  0       1  1  1         0 -4  4  2 -2  0
 *                B' = 0  4 -4 -1  1  0   G = 1 -1  1    A' = 0 -4 -4  4  4  0
 *                     0 -2 -1  2  1  0       1  2  4         0 -4  4  8 -8 24
 *                     0  2 -1 -2  1  0       1 -2  4
 *                     0  4  0 -5  0  1       0  0  1
 *
 * An element of B' d B is at most 4 * 255, or 68 * 255; one of G g G' at most 9 * 128, or 49 * 128: both fit into 16 bits,
 * whose products x86 adds in pairs into 32 (2 * 68 * 255 * 49 * 128 is 2.2e8).  All sums wrap modulo 2^32, and so does the
 * division by s^2: by 9 as the product with 9's inverse, by 4 or 64 as a shift, which is right if 4 or 64 times the sum fits
 * (pqc_winograd_fits).
 *
 * The transformed operands, of positions p in the square of (m + 2)^2:
 *
 *   inputs    [p][c4 block of channels][tile][channel]: 16 bits; v_stride tiles from a c4 block to the next
 *   weights   [p][c4 block of channels][pair of channels][16 output channels][channel]: 16 bits
 *   products  [p][tile][16 output channels]: 32 bits; m_stride tiles from a position to the next */
#ifndef PQC_WINOGRAD_H
#define PQC_WINOGRAD_H

#include "pqc.h"

enum { PQC_WINOGRAD_CHANNELS = 16, PQC_WINOGRAD_SPARE = 3, PQC_WINOGRAD_SIDES = 2 };

/* Words of transformed weights per position.  The spare ones keep positions apart in L1: without them their distance
 * is often a power of two. */
static inline ptrdiff_t pqc_winograd_weights(ptrdiff_t c4_blocks)
{
    return c4_blocks * 4 * PQC_WINOGRAD_CHANNELS + 32;
}

/* The c4 blocks of a group as conv_shape.h lays them out: planes of rows, with borders. */
typedef struct {
    const uint8_t *x;
    ptrdiff_t c4_blocks, block_stride, row; /* bytes between c4 blocks, and between rows */
    ptrdiff_t rows;                         /* rows past the last one repeat it */
    ptrdiff_t across;                       /* tiles in a row of tiles */
} pqc_winograd_image;

typedef struct {
    int positions;
    const int16_t *v;
    ptrdiff_t v_blocks, v_stride; /* v_blocks: c4 blocks per position */
    const int16_t *u;
    ptrdiff_t m_stride;
} pqc_winograd_operands;

typedef struct {
    int side; /* m */

    /* Transforms tiles `first` to `first + tiles`, in reading order.  Writes up to PQC_WINOGRAD_SPARE tiles more and
     * reads up to 64 bytes past the end of a row. */
    void (*inputs)(const pqc_winograd_image *image, ptrdiff_t first, ptrdiff_t tiles,
                   ptrdiff_t v_stride, int16_t *v);

    /* Transforms the weights of 16 output channels: kernel rows are w_row bytes apart, and within one the three taps
     * of each c4 block k_stride bytes apart. */
    void (*weights)(const int8_t *w, ptrdiff_t k_stride, ptrdiff_t w_row, ptrdiff_t c4_blocks,
                    int16_t *u);

    /* Products summed over `c4_blocks` c4 blocks, and added to m if `more`. */
    void (*products)(const pqc_winograd_operands *operands, ptrdiff_t c4_blocks, ptrdiff_t tiles,
                     bool more, int32_t *m);

    /* compensation[c] + sum for 16 channels of some neighbouring tiles: to[pixel][channel] for each of the m rows of
     * pixels, which are to_row numbers apart. */
    void (*sums)(const int32_t *m, ptrdiff_t m_stride, ptrdiff_t tiles, const int32_t *compensation,
                 int32_t *to, ptrdiff_t to_row);
} pqc_winograd;

/* For m = 2 and m = 4.  The table's field is NULL where the products of igemm_u8s8 are faster. */
extern const pqc_winograd pqc_winograd_avx2[PQC_WINOGRAD_SIDES];

/* True if the sums fit: each |sum| is at most 255 * (sum of the channel's |weights|). */
static inline bool pqc_winograd_fits(int side, ptrdiff_t weights)
{
    return weights <= INT32_MAX / ((side == 2 ? 4 : 64) * 255);
}

#endif
