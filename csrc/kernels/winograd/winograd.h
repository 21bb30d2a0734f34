/* Sums of a 3 x 3 convolution of stride 1 by Winograd's F(2 x 2, 3 x 3) (Lavin and Gray, arXiv 1509.09308): 2 x 2 outputs
 * from 16 products where the definition takes 36.  In integers it is exact: with d the 4 x 4 inputs of a tile of outputs and
 * g the 3 x 3 weights,
 *
 *     4 * sums = A' [(B' d B) . (G g G')] A
 *
 *          1  0 -1  0         2  0  0           1  1  1  0
 *     B' = 0  1  1  0     G = 1  1  1      A' = 0  1 -1 -1
 *          0 -1  1  0         1 -1  1
 *          0  1  0 -1         0  0  2
 *
 * An element of B' d B is at most 4 * 255, one of G g G' at most 9 * 128: both fit into 16 bits, whose products x86 adds
 * in pairs into 32.  Those sums wrap modulo 2^32, which is right as long as 4 * sums fits (pqc_winograd_fits).
 *
 * The transformed operands, of 16 positions p in the 4 x 4 square:
 *
 *   inputs    [p][quad of channels][tile][channel]: 16 bits; v_pitch tiles from a quad to the next
 *   weights   [p][quad of channels][pair of channels][16 output channels][channel]: 16 bits
 *   products  [p][tile][16 output channels]: 32 bits; m_pitch tiles from a position to the next
 *
 * The table's field is NULL where the products of gemm_s8 are faster. */
#ifndef PQC_WINOGRAD_H
#define PQC_WINOGRAD_H

#include "pqc.h"

enum { PQC_WINOGRAD_POSITIONS = 16, PQC_WINOGRAD_CHANNELS = 16, PQC_WINOGRAD_SPARE = 3 };

/* Words of transformed weights from a position to the next.  The spare ones keep the positions out of each other's way in
 * the first cache: without them their distance is often a power of two. */
static inline ptrdiff_t pqc_winograd_weights(ptrdiff_t quads)
{
    return quads * 4 * PQC_WINOGRAD_CHANNELS + 32;
}

/* A group's quads as conv_shape.h lays them out: each a plane of rows, with the border. */
typedef struct {
    const uint8_t *x;
    ptrdiff_t quads, plane, row; /* bytes from a quad to the next, and from a row to the next */
    ptrdiff_t rows;              /* rows past the last one are read as the last one */
    ptrdiff_t across;            /* tiles in a row of tiles */
} pqc_winograd_image;

typedef struct {
    /* Tiles `first` to `first + tiles` in reading order; writes up to PQC_WINOGRAD_SPARE tiles more, reads up to 64 bytes
     * past the end of a row. */
    void (*inputs)(const pqc_winograd_image *image, ptrdiff_t first, ptrdiff_t tiles,
                   ptrdiff_t v_pitch, int16_t *v);

    /* The weights of 16 output channels, w_step bytes from a step to the next: quads slowest, then the taps. */
    void (*weights)(const int8_t *w, ptrdiff_t w_step, ptrdiff_t quads, int16_t *u);

    /* Products summed over `quads` of the v_quads quads of v and all of u, added to m if `more`. */
    void (*products)(const int16_t *v, ptrdiff_t v_quads, ptrdiff_t v_pitch, const int16_t *u,
                     ptrdiff_t quads, ptrdiff_t tiles, bool more, int32_t *m, ptrdiff_t m_pitch);

    /* start[c] + sum for 16 channels of the outputs of some tiles, from m's on: [pixel][channel], 2 pixels for each tile. */
    void (*sums)(const int32_t *m, ptrdiff_t m_pitch, ptrdiff_t tiles, const int32_t *start,
                 int32_t *upper, int32_t *lower);
} pqc_winograd;

extern const pqc_winograd pqc_winograd_avx2;

/* True if 4 times the sum of 9 products of 255 by 128 for each channel fits into 32 bits. */
static inline bool pqc_winograd_fits(ptrdiff_t channels)
{
    return channels <= INT32_MAX / (4 * 9 * 255 * 128);
}

#endif
