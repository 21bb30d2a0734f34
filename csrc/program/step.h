/* A step of a compiled program: one kernel over images whose shapes and places are fixed. */
#ifndef PQC_STEP_H
#define PQC_STEP_H

#include "chain.h"
#include "igemm_nhwc/igemm_nhwc.h"
#include "image.h"
#include "program_weights.h"
#include "recurrent.h"

typedef enum {
    PQC_STEP_IMPORT,  /* an array becomes an image: codes or floats */
    PQC_STEP_EXPORT,  /* an image becomes an array: floats, codes decoded */
    PQC_STEP_CONV,    /* convolution or matrix product, with the output stage of finish_nhwc.h */
    PQC_STEP_POOL,    /* maxima of bytes or floats over windows, what lies outside left out */
    PQC_STEP_COPY,    /* the same codes elsewhere: of pixels y.before + i * y.stride, and along x */
    PQC_STEP_CHAIN,   /* an elementwise chain */
    PQC_STEP_SOFTMAX, /* of rows of floats: an image of one row of pixels */
    PQC_STEP_LAYER_NORM,     /* the same; residual and more[0]: weight and bias, or PQC_NOTHING */
    PQC_STEP_AVERAGE,        /* averages over windows, of what lies on the image */
    PQC_STEP_PADDED_AVERAGE, /* the same, of all taps, padding being zeros */
    PQC_STEP_MEAN,           /* averages of whole images */
    PQC_STEP_RESIZE, /* each pixel y.stride times and x.stride times, of the same codes or floats */
    PQC_STEP_SHUFFLE, /* a pixel's channels as those of y.stride x x.stride pixels */
    PQC_STEP_STRIDED, /* floats in another order: `layout` has sizes, strides of the input, strides of the output */
    PQC_STEP_MATMUL, /* products of input and residual, matrices of floats; `layout`: see layout_step.c */
    PQC_STEP_GATHER, /* rows of pixels: those that int64 numbers name, each in the place of two floats of residual */
    PQC_STEP_RECURRENT, /* cells over sequences: gates of the input, see recurrent_step.c; residual and more[0]:
                          states or PQC_NOTHING */
    PQC_STEP_FLOAT_CONV, /* of floats; residual: weights by panels of 32 outputs, of each the bias and a row for each tap and
                          channel of a group; `layout`: groups, then see frames.h; a chain and its operands as those
                          of PQC_STEP_CONV */
    PQC_STEP_INTEGERS, /* numbers of int64, each in the place of two floats, as floats */
    PQC_STEP_TRUTHS,   /* the same, as 1 for those that are not 0 */
    PQC_STEP_INTERPOLATE, /* along y or x; residual and more[0]: places and weights, see interpolate_step.c */
    PQC_STEP_PAD, /* the same codes or floats with pixels of the value `low` around; before: where the image begins */
    PQC_STEP_REDUCE, /* sums, averages and extremes of floats, see reduce_step.c */
    PQC_STEP_NORM,   /* groups of channels of floats normalised, see norm_step.c */
    PQC_STEP_STACK,  /* frames of volumes in the channels of their pixels, see stack_step.c */
    PQC_STEP_FOLD, /* windows of rows of one channel, their halves added and subtracted, see fold_step.c */
    PQC_STEPS
} pqc_step_kind;

enum { PQC_LAYOUT_AXES = 6, PQC_LAYOUT = 3 * PQC_LAYOUT_AXES };

/* Beside the flags of pack_u8.h: an index that no element has. */
enum { PQC_STEP_BAD_INDEX = 4 };

enum { PQC_MAX_ROW = 4096 }; /* floats of a row of which only codes are stored */

typedef struct {
    ptrdiff_t stride, dilation, before, kernel;
} pqc_window;

/* Taps [first, end) of a window that lie on the image; start: coordinate of tap 0. */
typedef struct {
    ptrdiff_t first, end, start;
} pqc_taps;

/* Of output `at` along an axis of so many pixels. */
static inline pqc_taps pqc_taps_of(const pqc_window *w, ptrdiff_t at, ptrdiff_t size)
{
    ptrdiff_t start = at * w->stride - w->before;
    ptrdiff_t first = start < 0 ? pqc_div_round_up(-start, w->dilation) : 0;
    ptrdiff_t end = start >= size ? 0 : pqc_div_round_up(size - start, w->dilation);
    return (pqc_taps){pqc_min(first, w->kernel), pqc_clamp(end, 0, w->kernel), start};
}

/* How a convolution's pixels are cut into tiles of 16 (conv_tiles.c). */
typedef struct {
    bool fits;              /* enough of the tiles' products are wanted */
    ptrdiff_t pitch, tiles; /* pixels from a row to the next; tiles of an image */
    ptrdiff_t reach;        /* bytes of the input's buffer up to the end of what the tiles read */
} pqc_tiling;

typedef struct {
    pqc_step_kind kind;
    pqc_image input, residual, output[PQC_MAX_OUTPUTS]; /* residual: content PQC_NOTHING if none */
    int outputs;
    pqc_window y, x;            /* of convolutions, pools and averages */
    const pqc_weights *weights; /* of convolutions */
    const pqc_weights *next;    /* of a later step, which may be fetched meanwhile; or NULL */
    float low, high, second_low, second_high;
    bool hard_swish;
    pqc_linear_map affine; /* of convolutions; filled by pqc_step_prepare */
    pqc_pixels
        between; /* of convolutions: codes that results go through before the residual is added, or PQC_NOTHING */
    /* Operands of chains beside input and residual; of a convolution's chain, beside its results. */
    pqc_image more[PQC_MAX_OPERANDS - 2];
    const pqc_chain_op *chain;
    ptrdiff_t chain_length;
    int64_t layout[PQC_LAYOUT]; /* of what is found by strides */
    double epsilon;             /* of normalisation */
    unsigned known;             /* of convolutions: pqc_finish_known; filled by pqc_step_prepare */
    pqc_tiling tiling;          /* of convolutions; filled by pqc_step_prepare, as is: */
    const pqc_recurrent *recurrent; /* of cells: what does not depend on the sequences */
    ptrdiff_t workspace;            /* of cells: bytes into the arena */
    int32_t *offset; /* of convolutions but depthwise ones: of each kr group, then of their runs */
} pqc_step;

/* Offsets that a step needs. */
ptrdiff_t pqc_step_offsets(const pqc_step *step);

/* NULL if a step of images that are in order reads and writes nothing else; or what is wrong.  Of a convolution of integers
 * fills `offset`, `known` and `tiling`; a chain that the output stage can do becomes `affine`, `second_low` and `second_high`, with
 * `chain_length` 0; and clamps that come last go into the codes' bounds. */
const char *pqc_step_prepare(pqc_step *step);

/* Runs it, on all threads; returns the flags of pack_u8.h, and PQC_STEP_BAD_INDEX. */
unsigned pqc_step_run(const pqc_step *step, char *const *buffers);

/* Tiles may read beyond an image, and cells need memory of their own.  The arena grows so far; another buffer's steps do
 * without tiles. */
void pqc_step_limit(pqc_step *step, ptrdiff_t buffer_bytes, ptrdiff_t *arena_bytes);

/* Runs of kr groups whose bytes lie together: a tap's, or those of a row of taps. */
static inline ptrdiff_t pqc_step_runs(const pqc_step *step)
{
    const pqc_weights_shape *w = &step->weights->shape;
    return w->kh * (w->merged ? 1 : w->kw);
}

/* Of convolutions: the output stage, without addresses (before a chain it ends in floats); its way by tiles. */
pqc_output pqc_conv_step_finish(const pqc_step *step);
pqc_tiling pqc_tiling_of(pqc_step *step);
unsigned pqc_conv_tiles_run(const pqc_step *step, char *const *buffers,
                            const pqc_igemm_nhwc *kernels);

/* One for each kind. */
const char *pqc_conv_step_prepare(pqc_step *step);
unsigned pqc_conv_step_run(const pqc_step *step, char *const *buffers);
unsigned pqc_depthwise_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_window_check(const pqc_step *step);
void pqc_pool_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_copy_step_prepare(const pqc_step *step);
void pqc_copy_step_run(const pqc_step *step, char *const *buffers);
unsigned pqc_import_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_rearrange_step_prepare(const pqc_step *step);
void pqc_rearrange_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_rows_step_prepare(const pqc_step *step);
unsigned pqc_rows_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_average_step_prepare(const pqc_step *step);
unsigned pqc_average_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_strided_step_prepare(const pqc_step *step);
void pqc_strided_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_recurrent_step_prepare(const pqc_step *step);
ptrdiff_t pqc_recurrent_step_workspace(const pqc_step *step);
unsigned pqc_recurrent_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_gather_step_prepare(const pqc_step *step);
unsigned pqc_gather_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_matmul_step_prepare(const pqc_step *step);
void pqc_matmul_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_integers_step_prepare(const pqc_step *step);
void pqc_integers_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_float_conv_step_prepare(const pqc_step *step);
unsigned pqc_float_conv_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_chain_step_prepare(const pqc_step *step);
unsigned pqc_chain_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_interpolate_step_prepare(const pqc_step *step);
unsigned pqc_interpolate_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_pad_step_prepare(const pqc_step *step);
unsigned pqc_pad_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_fold_step_prepare(const pqc_step *step);
void pqc_fold_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_reduce_step_prepare(const pqc_step *step);
void pqc_reduce_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_norm_step_prepare(const pqc_step *step);
void pqc_norm_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_stack_step_prepare(const pqc_step *step);
void pqc_stack_step_run(const pqc_step *step, char *const *buffers);
void pqc_export_step_run(const pqc_step *step, char *const *buffers);

#endif
