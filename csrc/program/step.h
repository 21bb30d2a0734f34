/* A step of a compiled program: one kernel over images whose shapes and places are fixed. */
#ifndef PQC_STEP_H
#define PQC_STEP_H

#include "image.h"
#include "program_weights.h"

typedef enum {
    PQC_STEP_IMPORT, /* an array becomes an image: codes or floats */
    PQC_STEP_EXPORT, /* an image becomes an array: floats, codes decoded */
    PQC_STEP_CONV,   /* convolution or matrix product, with the output stage of finish_nhwc.h */
    PQC_STEP_POOL,   /* maxima of bytes over windows, what lies outside left out */
    PQC_STEP_COPY,   /* the same codes elsewhere: channels of a longer pixel */
    PQC_STEPS
} pqc_step_kind;

typedef struct {
    ptrdiff_t stride, dilation, before, kernel;
} pqc_window;

typedef struct {
    pqc_step_kind kind;
    pqc_image input, residual, output[PQC_MAX_OUTPUTS]; /* residual: content PQC_NOTHING if none */
    int outputs;
    pqc_window y, x;            /* of convolutions and pools */
    const pqc_weights *weights; /* of convolutions */
    float low, high, second_low, second_high;
    bool hard_swish;
    unsigned known;  /* of convolutions: pqc_finish_known; filled by pqc_step_prepare */
    int32_t *offset; /* of convolutions: of each kr group, or tap; filled by pqc_step_prepare */
} pqc_step;

/* Offsets that a step needs. */
ptrdiff_t pqc_step_offsets(const pqc_step *step);

/* NULL if a step of images that are in order reads and writes nothing else; or what is wrong.  Fills `offset`. */
const char *pqc_step_prepare(pqc_step *step);

/* Runs it, on all threads; returns the flags of pack_u8.h. */
unsigned pqc_step_run(const pqc_step *step, char *const *buffers);

/* One for each kind. */
const char *pqc_conv_step_prepare(pqc_step *step);
unsigned pqc_conv_step_run(const pqc_step *step, char *const *buffers);
const char *pqc_window_check(const pqc_step *step);
void pqc_pool_step_run(const pqc_step *step, char *const *buffers);
void pqc_copy_step_run(const pqc_step *step, char *const *buffers);
unsigned pqc_import_step_run(const pqc_step *step, char *const *buffers);
void pqc_export_step_run(const pqc_step *step, char *const *buffers);

#endif
