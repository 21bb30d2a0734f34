/* Weights of a convolution (or of a linear layer: one with kernels of 1), packed for igemm_u8s8 or for AMX, with what undoes
 * their scales.
 *
 * For every subconvolution and group: panels of up to nr = 64 output channels, in a panel kr groups of four weights each, in a
 * kr group the panel's channels.  A channel count that is no multiple of 16 is padded with zeros.  The order of the kr groups,
 * the last index fastest:
 *
 *     pqc_conv_k_by_rows   taps y, c4 blocks, taps z, x: rows of taps that fall on padding can be left out
 *     kw4                  channels, taps z, y, x, four of these in a kr group
 *     otherwise            weight planes, c4 blocks, taps z, y, x
 *
 * Unsigned weights above 127 are the sum of three signed bytes: their kr groups come three times, in three weight planes.  Sums
 * over more than PQC_MAX_K kr groups could leave 32 bits: K is split, and each split has its own compensation.
 *
 * For AMX (shape.amx): panels of nr = 16 as amx_gemm.h has them, 16 kr groups at a time, in the order: runs of 16 c4 blocks,
 * taps, c4 blocks of the run.  Such weights are multiplied by AMX whatever the table of kernels has become since: the sums are
 * the same.  Of linear layers: the order above, but in panels of nr = 16. */
#ifndef PQC_CONV_PACK_WEIGHTS_H
#define PQC_CONV_PACK_WEIGHTS_H

#include "cache_sizes.h"
#include "conv_shape.h"

enum { PQC_MAX_K = 16384 }; /* in kr groups: 65,536 products of at most 255 * 128 stay below 2^31 */

typedef struct {
    ptrdiff_t index[PQC_AXES];
    pqc_conv_taps taps[PQC_AXES];
    ptrdiff_t k, k_splits;
    int8_t *w; /* groups x k x padded_out x 4; in AMX tiles k is rounded up to a multiple of 16 */
    int32_t *compensation,
        *weight_sums; /* groups x k_splits x padded_out, for a zero point of 128 */
    /* groups x (kernel rows + 1) x padded_out: 128 * (sum of the weights of all rows before); or NULL */
    int32_t *row_sums;
} pqc_subconv;

typedef struct {
    pqc_conv_shape shape;
    ptrdiff_t padded_out;    /* output channels of a group, rounded up to a multiple of 16 */
    ptrdiff_t weight_planes; /* 3 for unsigned weights above 127, else 1 */
    bool has_min_weight;     /* some weight is -128 */
    /* the largest sum of |weight| of an output channel; unused for transposed ones */
    ptrdiff_t max_weight_sum;
    ptrdiff_t subconvs;
    pqc_subconv *sub;
    double *inverse; /* 1 / scale of the weights, for each output channel of each group */
    double min_inverse, max_inverse;
    int32_t *no_compensation; /* padded_out zeros, for a zero point of 0 */
} pqc_packed_weights;

/* True if the kr groups are ordered by kernel row. */
static inline bool pqc_conv_k_by_rows(const pqc_conv_shape *shape, ptrdiff_t weight_planes)
{
    return !shape->kw4 && !shape->amx && !shape->transposed && weight_planes == 1 &&
           shape->axis[1].kernel > 1;
}

/* kr groups per kernel row, where they are ordered so. */
static inline ptrdiff_t pqc_conv_row_k(const pqc_subconv *sub)
{
    return sub->k / sub->taps[1].count;
}

/* True if tap packing needs no more kr groups than c4 blocks would, and the kernel supports it. */
bool pqc_conv_wants_kw4(const pqc_conv_shape *shape);

/* The AMX kernels of the table, or NULL if there are none or another algorithm is faster for a layer of these
 * weights. */
const pqc_amx_gemm *pqc_conv_wanted_amx(const pqc_conv_shape *shape, bool wide);

/* Bytes of memory the packed weights need, 64-aligned; -1 if the weights or the subconvolutions are too many to
 * count. */
ptrdiff_t pqc_packed_weights_bytes(const pqc_conv_shape *shape, bool wide);

/* Lays the packed weights out in `memory` and packs.
 *
 *   weights  bytes in the layer's own order: (groups * out, in, z, y, x),
 *            transposed (groups * in, out, z, y, x)
 *
 *   scale    groups * out values by which the weights were multiplied
 *
 *   wide     some weight is above 127 */
void pqc_pack_weights(pqc_packed_weights *packed, const pqc_conv_shape *shape, bool wide,
                      void *memory, const void *weights, const float *scale);

/* The same packed weights for activations with another zero point, from 0 to 255, than 128.  Only the compensations
 * differ: they are written to `memory`, of pqc_zero_point_bytes bytes, 64-aligned; the rest is shared with `packed`. */
ptrdiff_t pqc_zero_point_bytes(const pqc_packed_weights *packed);
void pqc_with_zero_point(pqc_packed_weights *made, const pqc_packed_weights *packed, int32_t zero,
                         void *memory);

/* True if the weights lie in tiles of 16 channels by 16 kr groups. */
static inline bool pqc_conv_in_amx_tiles(const pqc_conv_shape *shape)
{
    return shape->amx && !shape->matrix;
}

/* kr groups including the padding of tiles. */
static inline ptrdiff_t pqc_conv_stored_k(const pqc_conv_shape *shape, ptrdiff_t k)
{
    return pqc_conv_in_amx_tiles(shape) ? pqc_round_up(k, PQC_AMX_SIDE) : k;
}

/* How many c4 blocks follow each other before the next tap: up to 16 for AMX, or as many as are left from `c4`; else
 * 1. */
static inline ptrdiff_t pqc_conv_c4_run(const pqc_conv_shape *shape, ptrdiff_t c4_blocks,
                                        ptrdiff_t c4)
{
    return shape->amx && !shape->kw4 ? pqc_min(c4_blocks - c4, PQC_AMX_SIDE) : 1;
}

/* Panels per group, and vectors of 16 channels in a panel. */
static inline ptrdiff_t pqc_panels(const pqc_packed_weights *packed)
{
    return pqc_div_round_up(packed->padded_out, PQC_NR);
}

static inline int pqc_panel_vectors(const pqc_packed_weights *packed, ptrdiff_t panel)
{
    return (int)pqc_min(packed->padded_out / PQC_LANES - PQC_NR_VECTORS * panel, PQC_NR_VECTORS);
}

#endif
