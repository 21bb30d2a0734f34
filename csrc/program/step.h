/* A step of a compiled program: one kernel over images whose shapes and places are fixed. */
#ifndef PQC_STEP_H
#define PQC_STEP_H

#include "chain.h"
#include "igemm_nhwc/igemm_nhwc.h"
#include "image.h"
#include "program_weights.h"
#include "recurrent.h"

typedef enum {
    PQC_STEP_IMPORT, /* an array to an image of codes or floats */
    PQC_STEP_EXPORT, /* an image to an array of floats; codes are decoded */
    /* convolution or matrix product of codes, through the output stage of finish_nhwc.h */
    PQC_STEP_CONV,
    PQC_STEP_POOL, /* maxima of bytes or floats over windows, ignoring what lies outside */
    /* copies the same codes of pixels y.before + i * y.stride, and likewise along x */
    PQC_STEP_COPY,
    PQC_STEP_CHAIN,          /* an elementwise chain */
    PQC_STEP_SOFTMAX,        /* of rows of floats: an image with one row of pixels */
    PQC_STEP_LAYER_NORM,     /* likewise; residual and more[0]: weight and bias, or PQC_NOTHING */
    PQC_STEP_AVERAGE,        /* averages over the part of each window that lies on the image */
    PQC_STEP_PADDED_AVERAGE, /* averages over whole windows, padding counting as zeros */
    PQC_STEP_MEAN,           /* averages of whole images */
    PQC_STEP_RESIZE, /* repeats each pixel y.stride x x.stride times, in the same codes or floats */
    PQC_STEP_SHUFFLE, /* the channels of a pixel become y.stride x x.stride pixels */
    /* copies floats in another order; `layout`: sizes, strides of the input, strides of the output */
    PQC_STEP_STRIDED,
    /* matrix products of input and residual, in floats; `layout`: see layout_step.c */
    PQC_STEP_MATMUL,
    PQC_STEP_GATHER, /* rows of pixels: those that int64 numbers name, each in the place of two floats of residual; the
                        same for all image rows, or some for each */
    PQC_STEP_RECURRENT, /* cells over sequences: gates of the input, see recurrent_step.c; residual and more[0]:
                          states or PQC_NOTHING */
    PQC_STEP_FLOAT_CONV, /* of floats; residual: weights by panels of 32 outputs, of each the bias and a row for each tap and
                          channel of a group; of depthwise ones one panel of all channels; `layout`: groups, then see
                          frames.h; a chain and its operands as those of PQC_STEP_CONV */
    PQC_STEP_INTEGERS, /* int64 numbers, each in the place of two floats, as floats */
    PQC_STEP_TRUTHS,   /* the same, as 1 if not 0 */
    /* interpolates along y or x; residual and more[0]: places and weights, see interpolate_step.c */
    PQC_STEP_INTERPOLATE,
    /* surrounds the image with pixels of the value `low`; before: where the image begins */
    PQC_STEP_PAD,
    PQC_STEP_REDUCE, /* sums, averages and extremes of floats, see reduce_step.c */
    PQC_STEP_NORM,   /* groups of channels of floats normalised, see norm_step.c */
    PQC_STEP_STACK,  /* frames of volumes in the channels of their pixels, see stack_step.c */
    PQC_STEP_FOLD, /* windows of rows of one channel, their halves added and subtracted, see fold_step.c */
    PQC_STEP_LOCATE,      /* rows at places along several axes, see locate_step.c */
    PQC_STEP_LOG_SOFTMAX, /* as PQC_STEP_SOFTMAX */
    PQC_STEPS
} pqc_step_kind;

enum { PQC_LAYOUT_AXES = 6, PQC_LAYOUT = 3 * PQC_LAYOUT_AXES };

/* In addition to the flags of pack_u8.h: an index out of range. */
enum { PQC_STEP_BAD_INDEX = 4 };

enum { PQC_MAX_ROW = 4096 }; /* most floats of a row of which only codes are stored */

typedef struct {
    ptrdiff_t stride, dilation, before, kernel;
} pqc_window;

/* The taps [first, end) of a window that lie on the image; start: coordinate of tap 0. */
typedef struct {
    ptrdiff_t first, end, start;
} pqc_taps;

/* The taps of output `at` along an axis of `size` pixels. */
static inline pqc_taps pqc_taps_of(const pqc_window *w, ptrdiff_t at, ptrdiff_t size)
{
    ptrdiff_t start = at * w->stride - w->before;
    ptrdiff_t first = start < 0 ? pqc_div_round_up(-start, w->dilation) : 0;
    ptrdiff_t end = start >= size ? 0 : pqc_div_round_up(size - start, w->dilation);
    return (pqc_taps){pqc_min(first, w->kernel), pqc_clamp(end, 0, w->kernel), start};
}

/* How a convolution's pixels are divided into tiles of 16 (conv_tiles.c). */
typedef struct {
    bool fits;              /* enough of the tiles' products are useful */
    ptrdiff_t pitch, tiles; /* pixels between rows; tiles per image */
    ptrdiff_t reach;        /* bytes of the input's buffer up to the end of what the tiles read */
} pqc_tiling;

/* How a convolution is divided for Winograd's algorithm (conv_winograd_nhwc.c). */
typedef struct {
    ptrdiff_t tiles;  /* most of a patch; 0: another algorithm */
    ptrdiff_t blocks; /* of workspace: how many threads can work on patches at a time */
} pqc_patches;

typedef struct {
    pqc_step_kind kind;
    pqc_image input, residual, output[PQC_MAX_OUTPUTS]; /* residual: content PQC_NOTHING if none */
    int outputs;
    pqc_window y, x;            /* of convolutions, pools and averages */
    const pqc_weights *weights; /* of convolutions */
    const pqc_weights *next;    /* those of a later step, which may be prefetched; or NULL */
    float low, high, second_low, second_high;
    bool hard_swish;
    pqc_linear_map affine; /* of convolutions; filled by prepare */
    pqc_pixels
        between; /* of convolutions: codes that results go through before the residual is added, or PQC_NOTHING */
    pqc_code_sum sum; /* of convolutions; filled by prepare */
    /* Operands of chains beside input and residual; of a convolution's chain, beside its results. */
    pqc_image more[PQC_MAX_OPERANDS - 2];
    const pqc_chain_op *chain;
    ptrdiff_t chain_length;
    int64_t layout[PQC_LAYOUT];     /* of what is found by strides */
    double epsilon;                 /* of normalisation */
    unsigned known;                 /* of convolutions: pqc_finish_known; filled by prepare */
    pqc_tiling tiling;              /* of convolutions; filled by prepare, as is: */
    pqc_patches patches;            /* and: */
    const int16_t *winograd;        /* transformed weights, or NULL: another algorithm */
    const pqc_recurrent *recurrent; /* of cells: what does not depend on the sequences */
    ptrdiff_t workspace;            /* of cells and convolutions: bytes into the arena */
    /* how many steps from this one on run by bands together; filled by pqc_bands_find, as are: */
    int together;
    ptrdiff_t band;  /* rows per band */
    bool passes_on;  /* only the next one of them reads its own input */
    int32_t *offset; /* convolutions, except depthwise ones: of each kr group, then of their runs */
} pqc_step;

/* Number of runs of kr groups whose bytes are contiguous: one per tap, or per row of taps. */
static inline ptrdiff_t pqc_step_runs(const pqc_step *step)
{
    const pqc_weights_shape *w = &step->weights->shape;
    return w->kh * (w->merged ? 1 : w->kw);
}

/* What has been checked before `prepare`.  PQC_ONE_OUTPUT: there is one output and no residual.  PQC_SAME_CODES: in
 * addition, input and output are images of the same codes or floats. */
typedef enum { PQC_ANY, PQC_ONE_OUTPUT, PQC_SAME_CODES } pqc_step_expects;

/* What the steps of one or several kinds have in common. */
typedef struct {
    const char *(*prepare)(pqc_step *step); /* NULL, or what is wrong: see pqc_step_prepare */
    unsigned (*run)(const pqc_step *step, char *const *buffers); /* see pqc_step_run */
    pqc_step_expects expects;
    ptrdiff_t (*workspace)(const pqc_step *step); /* bytes of memory of its own; or NULL */
    bool has_layout;
} pqc_step_type;

extern const pqc_step_type pqc_import_step, pqc_export_step, pqc_conv_step, pqc_pool_step,
    pqc_copy_step, pqc_chain_step, pqc_rows_step, pqc_average_step, pqc_rearrange_step,
    pqc_strided_step, pqc_matmul_step, pqc_gather_step, pqc_recurrent_step, pqc_float_conv_step,
    pqc_integers_step, pqc_interpolate_step, pqc_pad_step, pqc_reduce_step, pqc_norm_step,
    pqc_stack_step, pqc_fold_step, pqc_locate_step;

/* NULL if the step's windows are within bounds; or what is wrong. */
const char *pqc_window_check(const pqc_step *step);

#endif
