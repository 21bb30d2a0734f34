/* Convolutions and matrix products, channels last, by tiles of 16 pixels and 16 channels, through the output stage of
 * finish_nhwc.h.  The sums are those of igemm_u8s8.h, with which the weights are shared; exact modulo 2^32.
 *
 * Two tiles of pixels by two of channels are multiplied at a time, and stored while the next ones are multiplied: their results
 * are pending until then, or until `flush`. */
#ifndef PQC_IGEMM_NHWC_H
#define PQC_IGEMM_NHWC_H

#include "finish_nhwc/finish_nhwc.h"
#include "igemm_u8s8/igemm_u8s8.h"

enum {
    PQC_TILE = 16,                /* pixels, channels or kr groups of a tile */
    PQC_TILE_PAIR = 2 * PQC_TILE, /* pixels and channels that are multiplied at a time */
};

/* One or two tiles of pixels, which are `pixel` bytes apart; each tile reads all 16, whatever they are.  The kr
 * groups are runs of contiguous bytes: run r of the first pixel begins at tile[i] + run[r]. */
typedef struct {
    const uint8_t *tile[2];
    int tiles;
    ptrdiff_t pixel;
    const int32_t *run;
    ptrdiff_t runs, run_k; /* kr groups per run */
} pqc_tile_pixels;

/* One or two vectors of 16 channels of an igemm_u8s8.h panel, whose panel_stride is 64. */
typedef struct {
    const int8_t *w;
    ptrdiff_t k_stride;
    const int32_t *compensation; /* NULL means zeros */
    ptrdiff_t channel;           /* index into the output stage */
    int channels;                /* at most 32 */
    /* Kr groups needed soon, and how many of them to prefetch with each tile of K; NULL if there are none. */
    const int8_t *ahead;
    ptrdiff_t ahead_stride;
    int ahead_k;
} pqc_tile_weights;

/* Where results go: pixel i is number row[i] among the tiles' pixels, offset[0][i] bytes from `at` of the residual
 * and offset[1 + n][i] from that of output n.  Everything must stay valid while the results are pending. */
typedef struct {
    const pqc_output *f; /* from channel 0 */
    const uint8_t *row;
    const ptrdiff_t *offset[1 + PQC_MAX_OUTPUTS];
    int pixels;
} pqc_tile_results;

/* The pending results.  Initially `to` is NULL and there are no flags. */
typedef struct {
    _Alignas(64) int32_t sums[2][PQC_TILE_PAIR * PQC_TILE_PAIR];
    int turn; /* which half of the buffers holds the pending sums */
    const pqc_tile_results *to;
    ptrdiff_t channel;
    int channels;
    unsigned flags; /* of pack_u8.h */
} pqc_tile_pending;

typedef struct {
    /* Between `begin` and `end` this thread may multiply pixels with runs of run_k kr groups. */
    void (*begin)(ptrdiff_t run_k);
    void (*end)(void);

    void (*multiply)(const pqc_tile_pixels *x, const pqc_tile_weights *w,
                     const pqc_tile_results *to, pqc_tile_pending *pending);
    void (*flush)(pqc_tile_pending *pending);
} pqc_igemm_nhwc;

#if PQC_AMX_COMPILES
extern const pqc_igemm_nhwc pqc_igemm_nhwc_amx;
#endif

#endif
