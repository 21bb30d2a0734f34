/* Volumes as images: a window along the frames turns volumes of `in` frames into volumes of `out` frames. */
#ifndef PQC_FRAMES_H
#define PQC_FRAMES_H

#include "step.h"

typedef struct {
    ptrdiff_t in, out;
    pqc_window z;
} pqc_frames;

/* Reads layout[1] and the following: in, out, kernel, stride, dilation, padding before.  All are 0 for images that
 * are not volumes. */
pqc_frames pqc_frames_of(const pqc_step *step);

/* NULL if the step's input and first output are such volumes and the rest of the layout is 0; else what is wrong. */
const char *pqc_frames_check(const pqc_step *step);

/* True if each image depends only on the image with the same number. */
static inline bool pqc_frames_are_alone(const pqc_frames *f)
{
    return f->in == f->out && f->z.kernel == 1 && f->z.stride == 1 && f->z.before == 0;
}

/* The input image that a tap of output image n reads; -1 on padding. */
static inline ptrdiff_t pqc_frame_of_tap(const pqc_frames *f, ptrdiff_t n, ptrdiff_t tap)
{
    ptrdiff_t at = n % f->out * f->z.stride - f->z.before + tap * f->z.dilation;
    return at >= 0 && at < f->in ? n / f->out * f->in + at : -1;
}

#endif
