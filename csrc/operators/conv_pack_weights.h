/* Weights of a convolution (or a linear layer: one of kernel 1), reordered for gemm_s8 or for a matrix unit, with what
 * undoes the scales.
 *
 * For every piece and group: blocks of up to 64 output channels, in a block the steps of four weights each, at each step the
 * block's channels.  A channel count that is no multiple of 16 is filled up with zeros.  The steps are in this order, the last
 * fastest:
 *
 *     pqc_conv_by_rows   taps y, quads of input channels, taps z, x: rows that fall on padding can be left out
 *     columns            channels, taps z, y, x, four of these in a step
 *     otherwise          parts, quads of input channels, taps z, y, x
 *
 * Unsigned weights above 127 are the sum of three signed bytes: their steps come three times, in three parts.  Sums of more
 * than PQC_CHUNK steps could leave 32 bits and are taken in chunks, each with its own start.
 *
 * For a matrix unit (shape.unit): blocks of 16 output channels, as amx_gemm.h has them, 16 steps at a time.  There the
 * steps are in chunks of 16 quads, with the taps between the chunks and the quads of one.  Such a plan is
 * multiplied by that unit, whatever the table of kernels has become since: the sums are the same.  Of linear layers: the
 * order above, but in blocks of 16 output channels. */
#ifndef PQC_CONV_PLAN_H
#define PQC_CONV_PLAN_H

#include "conv_shape.h"

enum { PQC_CHUNK = 16384 }; /* steps: 65,536 products of at most 255 * 128 stay below 2^31 */

typedef struct {
    ptrdiff_t index[PQC_AXES];
    pqc_conv_taps taps[PQC_AXES];
    ptrdiff_t k, chunks;
    int8_t *w;            /* groups x k x lanes x 4; k up to a multiple of 16 in tiles */
    int32_t *start, *sum; /* groups x chunks x lanes, of an activation with zero 128 */
    int32_t
        *before; /* groups x (rows of taps + 1) x lanes: the sum of the rows in front; or NULL */
} pqc_conv_piece;

typedef struct {
    pqc_conv_shape shape;
    ptrdiff_t lanes; /* output channels of a group, up to a multiple of 16 */
    ptrdiff_t parts; /* 3 for unsigned weights above 127, else 1 */
    bool lowest;     /* some weight is -128 */
    ptrdiff_t
        heaviest; /* the largest sum of an output channel's |weights|; of transposed ones not used */
    ptrdiff_t pieces;
    pqc_conv_piece *piece;
    double *inverse; /* 1 / scale of the weights, for each output channel of each group */
    double least, most;
    int32_t *zeros; /* lanes: the start of an activation without a zero */
} pqc_conv_plan;

/* True if steps are ordered by rows of taps. */
static inline bool pqc_conv_by_rows(const pqc_conv_shape *shape, ptrdiff_t parts)
{
    return !shape->columns && !shape->unit && !shape->transposed && parts == 1 &&
           shape->axis[1].kernel > 1;
}

/* Steps of one row of taps, where they are by rows. */
static inline ptrdiff_t pqc_conv_row_steps(const pqc_conv_piece *piece)
{
    return piece->k / piece->taps[1].count;
}

/* Up to a cache line. */
static inline ptrdiff_t pqc_aligned(ptrdiff_t bytes)
{
    return (bytes + 63) & ~(ptrdiff_t)63;
}

/* True if columns need no more steps than quads, and the kernel can take them. */
bool pqc_conv_wants_columns(const pqc_conv_shape *shape);

/* The matrix unit of the table of kernels, if there is one and it is the fastest way for a layer with these weights. */
const pqc_matrix_unit *pqc_conv_wanted_unit(const pqc_conv_shape *shape, bool wide);

/* Bytes of memory a plan needs, to be 64-aligned; -1 if they or the pieces are too many to count. */
ptrdiff_t pqc_conv_plan_bytes(const pqc_conv_shape *shape, bool wide);

/* Lays the plan out in `memory` and packs.
 *
 *   weights  bytes in the layer's own order: (groups * out, in, z, y, x),
 *            transposed (groups * in, out, z, y, x)
 *
 *   scale    groups * out values by which the weights were multiplied
 *
 *   wide     some weight is above 127 */
void pqc_conv_plan_init(pqc_conv_plan *plan, const pqc_conv_shape *shape, bool wide, void *memory,
                        const void *weights, const float *scale);

/* True if the weights lie in tiles of 16 channels by 16 steps. */
static inline bool pqc_conv_in_tiles(const pqc_conv_shape *shape)
{
    return shape->unit && !shape->matrix;
}

/* Steps as they are stored. */
static inline ptrdiff_t pqc_conv_stored_steps(const pqc_conv_shape *shape, ptrdiff_t k)
{
    return pqc_conv_in_tiles(shape) ? pqc_divided_up(k, PQC_SIDE) * PQC_SIDE : k;
}

/* Quads that lie between the taps: of a unit's convolutions 16, of others one; then what is left of `quads`, from `quad` on. */
static inline ptrdiff_t pqc_conv_chunk(const pqc_conv_shape *shape, ptrdiff_t quads, ptrdiff_t quad)
{
    return shape->unit && !shape->columns ? pqc_least(quads - quad, PQC_SIDE) : 1;
}

/* Number of blocks of a group, and the vectors of one. */
static inline ptrdiff_t pqc_conv_blocks(const pqc_conv_plan *plan)
{
    return (plan->lanes + 63) / 64;
}

static inline int pqc_conv_block_vectors(const pqc_conv_plan *plan, ptrdiff_t block)
{
    ptrdiff_t left = plan->lanes / 16 - 4 * block;
    return left < 4 ? (int)left : 4;
}

#endif
