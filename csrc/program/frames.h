/* Volumes as images: those of `in` frames each become volumes of `out` frames, by a window along them. */
#ifndef PQC_FRAMES_H
#define PQC_FRAMES_H

#include "step.h"

typedef struct {
    ptrdiff_t in, out;
    pqc_window z;
} pqc_frames;

/* From layout[1] on: in, out, then kernel, stride, dilation, padding before; of images that are no volumes all of it is 0. */
pqc_frames pqc_frames_of(const pqc_step *step);

/* NULL if the step's input and first output are such volumes, and the rest of the layout is 0. */
const char *pqc_frames_check(const pqc_step *step);

/* Whether each image is made of the one that has its place. */
static inline bool pqc_frames_are_alone(const pqc_frames *f)
{
    return f->in == f->out && f->z.kernel == 1 && f->z.stride == 1 && f->z.before == 0;
}

/* The image of the input that a tap of the output's image n is of, or -1 on padding. */
static inline ptrdiff_t pqc_frame_of_tap(const pqc_frames *f, ptrdiff_t n, ptrdiff_t tap)
{
    ptrdiff_t at = n % f->out * f->z.stride - f->z.before + tap * f->z.dilation;
    return at >= 0 && at < f->in ? n / f->out * f->in + at : -1;
}

#endif
