/* GEMM by AMX, in tiles of 16 x 16: a tile of A by a tile of B adds 16 kr groups of four products to each of 256 sums.  Exact
 * modulo 2^32, as in igemm_u8s8.h.  The contract is not AMX's alone: csrc/test has a body in plain C.
 *
 * nchw: a convolution's sums lie with the pixels side by side, so that a channel is written as it lies in memory.
 *
 *   w      A: [panel of 16 channels][16 kr groups][channel][kr group][4 bytes]; the last tile of K may be shorter
 *   pixels B: [16 kr groups][pixel][4 bytes], of 16 pixels: straight from an image, if the kr groups of a tile are equally
 *          spaced, or gathered in a B panel
 *   sums   [channel][PQC_AMX_SUMS_STRIDE pixels]
 *
 * nhwc: a linear layer's sums have a row's channels side by side, and are stored while AMX is at the next ones.
 *
 *   x      A: [block of 16 rows][16 kr groups][row][kr group][4 bytes]; the last tile of K has room for 16
 *   w      B: as in igemm_u8s8.h, with a k_stride of 64 */
#ifndef PQC_AMX_GEMM_H
#define PQC_AMX_GEMM_H

#include "igemm_u8s8/igemm_u8s8.h"

/* Rows of sums are not a power of two apart, because the rows of a tile would then share an L1 set. */
enum {
    PQC_AMX_SIDE = 16,                  /* channels, pixels or rows of a tile, and its kr groups */
    PQC_AMX_PAIR = 2 * PQC_AMX_SIDE,    /* at most this many of each are multiplied at a time */
    PQC_AMX_TILE_BYTES = 1024,          /* of weights: 16 channels, 16 kr groups, 4 bytes */
    PQC_AMX_MAX_MC = 16 * PQC_AMX_SIDE, /* most pixels of an M-block */
    PQC_AMX_SUMS_STRIDE = PQC_AMX_MAX_MC + PQC_AMX_SIDE,
};

/* One or two blocks of 16 pixels.  Kr group j of K tile t is at x[offset[16 * t] + j * k_stride], that of the other
 * block block_stride bytes further.  Without offsets, each K tile is 16 contiguous rows of 64 bytes. */
typedef struct {
    const uint8_t *x;
    const int32_t *offset;
    ptrdiff_t k_stride, block_stride;
    int blocks;
} pqc_amx_pixels;

/* How a B panel is gathered.  kr group j of pixel p has its bytes, as in conv_chw_u8s8.h, at
 *     x[offset[j] + pixel[p] + i]                             if there is a `pixel`,
 *     x[offset[j] + 4 * p + i]                                else, c4: dilation == 0
 *     x[offset[j] + p * stride + i * dilation]                kw4 */
typedef struct {
    const int32_t *offset;
    ptrdiff_t k;
    const int32_t *pixel;
    int stride, dilation;
} pqc_amx_panel;

/* Neighbouring sums whose results are neighbours as well. */
typedef struct {
    int from, count; /* first pixel, and their number, at most 16 */
    ptrdiff_t to;    /* floats from the beginning of the channel */
} pqc_amx_run;

/* The pixels i of each run: y[c * channel_stride + to + i * pixel_stride] = finish(compensation[c] + sums[c][from + i]). */
typedef struct {
    const int32_t *compensation;
    pqc_output_f32 to; /* nchw */
    const pqc_amx_run *run;
    int runs;
} pqc_amx_store;

/* Sums of some rows and channels, the last that AMX computed; their results are not written yet. */
typedef struct {
    _Alignas(64) int32_t sums[2][PQC_AMX_PAIR * PQC_AMX_PAIR];
    int turn; /* which half of the buffers they are in */
    ptrdiff_t ld;
    pqc_output_block block; /* nhwc */
} pqc_amx_pending;

typedef struct {
    /* Between `begin` and `end` this thread may multiply k kr groups.  `a_rows` is 16, or the number of rows of A if
     * that is smaller. */
    void (*begin)(ptrdiff_t k, int a_rows);
    void (*end)(void);

    /* One or two panels of 16 channels.  If the pixels are read straight from an image, k is a multiple of 16. */
    void (*gemm_nchw)(const int8_t *w, int panels, const pqc_amx_pixels *pixels, ptrdiff_t k,
                      int32_t *sums);

    /* The channels of g, whose x and offsets are ignored.  Writes the pending results; some of the new ones become
     * pending. */
    void (*gemm_nhwc)(const pqc_igemm_params *g, const uint8_t *x, const pqc_output_block *block,
                      pqc_amx_pending *pending);
    void (*flush)(pqc_amx_pending *pending);

    /* Gathers one block of 16 pixels.  Reads up to 64 bytes from the last byte used. */
    void (*panel)(const pqc_amx_panel *p, const uint8_t *x, uint8_t *panel);

    void (*store)(const pqc_amx_store *s, const int32_t *sums, int channels);
} pqc_amx_gemm;

#if PQC_AMX_COMPILES
extern const pqc_amx_gemm pqc_amx_gemm_amx;
#endif

#endif
