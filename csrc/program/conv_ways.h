/* The ways of a convolution that have files of their own; conv_step.c chooses. */
#ifndef PQC_CONV_WAYS_H
#define PQC_CONV_WAYS_H

#include "step.h"

/* By tiles of 16 pixels; `fits` is false where few of their products are wanted. */
pqc_tiling pqc_tiling_of(pqc_step *step);
unsigned pqc_conv_tiles_run(const pqc_step *step, char *const *buffers,
                            const pqc_igemm_nhwc *kernels);

unsigned pqc_depthwise_run(const pqc_step *step, char *const *buffers);

#endif
