/* The convolution algorithms that have files of their own; conv_step.c chooses among them. */
#ifndef PQC_CONV_WAYS_H
#define PQC_CONV_WAYS_H

#include "step.h"
#include "winograd_nhwc/winograd_nhwc.h"

/* By tiles of 16 pixels; `fits` is false if too few of their products would be useful. */
pqc_tiling pqc_tiling_of(pqc_step *step);
unsigned pqc_conv_tiles_run(const pqc_step *step, char *const *buffers,
                            const pqc_igemm_nhwc *kernels);

/* By Winograd's algorithm; `tiles` is 0 where that does not suit or is no faster with these kernels. */
pqc_patches pqc_patches_of(const pqc_step *step, const pqc_winograd_nhwc *kernels);
ptrdiff_t pqc_patches_workspace(const pqc_step *step);
unsigned pqc_conv_winograd_run(const pqc_step *step, char *const *buffers,
                               const pqc_winograd_nhwc *kernels);

unsigned pqc_depthwise_run(const pqc_step *step, char *const *buffers);

#endif
