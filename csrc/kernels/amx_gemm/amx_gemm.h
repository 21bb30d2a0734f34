/* Sums by a matrix unit, in tiles of 16 x 16: a tile of one operand by one of the other adds 16 steps of four products to
 * each of 256 sums.  Exact modulo 2^32, as in igemm_u8s8.h.
 *
 * A convolution's sums lie with the pixels side by side, so that a channel is written as it lies in memory.
 *
 *   w      [block of 16 channels][16 steps][channel][step][4 bytes]; a last group of steps may be shorter
 *   pixels [16 steps][pixel][4 bytes], of 16 pixels: straight from an image, if the steps of a group lie equally apart, or
 *          put together in a panel
 *   sums   [channel][PQC_SUMS_PITCH pixels]
 *
 * A linear layer's sums have a row's channels side by side, and are made results while the unit is at the next ones.
 *
 *   x      [block of 16 rows][16 steps][row][step][4 bytes]; a last group of steps has room for 16
 *   w      as in igemm_u8s8.h, with a step of 64 bytes */
#ifndef PQC_MATRIX_UNIT_H
#define PQC_MATRIX_UNIT_H

#include "igemm_u8s8/igemm_u8s8.h"

/* Rows of sums do not lie a power of two apart: those of a tile would share a place in the first cache. */
enum {
    PQC_SIDE = 16,             /* channels, pixels or rows of a tile, and its steps */
    PQC_PAIR = 2 * PQC_SIDE,   /* most of each that are multiplied at a time */
    PQC_TILE_BYTES = 1024,     /* of weights: 16 channels, 16 steps, 4 bytes */
    PQC_STRIP = 16 * PQC_SIDE, /* most pixels whose sums are put together */
    PQC_SUMS_PITCH = PQC_STRIP + PQC_SIDE,
};

/* Two blocks of 16 pixels, or one: step j of group g at x[offset[16 * g] + j * row], the other block's `apart` bytes further.
 * Without offsets a group's 16 rows of 64 bytes follow the last one's. */
typedef struct {
    const uint8_t *x;
    const int32_t *offset;
    ptrdiff_t row, apart;
    int blocks;
} pqc_unit_pixels;

/* How a panel is put together.  Step j of pixel p has its bytes, as in conv_chw_u8s8.h, at
 *     x[offset[j] + pixel[p] + i]                             if there is a `pixel`,
 *     x[offset[j] + 4 * p + i]                                else, quads: dilation == 0
 *     x[offset[j] + p * stride + i * dilation]                columns */
typedef struct {
    const int32_t *offset;
    ptrdiff_t k;
    const int32_t *pixel;
    int stride, dilation;
} pqc_panel;

/* Sums beside each other, and where their results go. */
typedef struct {
    int from, count; /* pixels, at most 16 */
    ptrdiff_t to;    /* floats from the channel's first */
} pqc_put;

/* y[c * pitch + to + i * step] = fma((float)(start[c] + sums[c][from + i]), scale[c], bias[c]) for the pixels i of each put */
typedef struct {
    const int32_t *start;
    const float *scale, *bias;
    const pqc_put *put;
    int puts;
    ptrdiff_t step, pitch;
    bool stream; /* y is not wanted in the caches */
} pqc_unit_to;

/* Sums of some rows and channels, the last ones that the unit has made: their results are not written yet. */
typedef struct {
    _Alignas(64) int32_t sums[2][PQC_PAIR * PQC_PAIR];
    int turn; /* whose they are */
    ptrdiff_t ld;
    pqc_rows to;
} pqc_unit_pending;

typedef struct {
    /* From `begin` to `end` this thread may take sums of k steps.  `lefts` is 16, or the number of all rows if those are
     * fewer. */
    void (*begin)(ptrdiff_t k, int lefts);
    void (*end)(void);

    /* One or two blocks of 16 channels; straight from an image k is a multiple of 16. */
    void (*columns)(const int8_t *w, int blocks, const pqc_unit_pixels *pixels, ptrdiff_t k,
                    int32_t *sums);

    /* g's channels, whose x and offsets are not used.  The pending results are written, and some of these are pending. */
    void (*rows)(const pqc_gemm_s8_block *g, const uint8_t *x, const pqc_rows *to,
                 pqc_unit_pending *pending);
    void (*write)(pqc_unit_pending *pending);

    /* One block of 16 pixels.  Reads up to 64 bytes from the last byte used on. */
    void (*panel)(const pqc_panel *p, const uint8_t *x, uint8_t *panel);

    void (*put)(const pqc_unit_to *to, const int32_t *sums, int channels, float *y);
} pqc_matrix_unit;

#if PQC_AMX_COMPILES
extern const pqc_matrix_unit pqc_unit_amx;
#endif

#endif
