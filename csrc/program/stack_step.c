/* Stacks the frames of volumes in the channels of their pixels, for convolutions along three axes: channels are
 * ordered by group, then tap, then channel of the group.  `layout`: the number of groups, then see frames.h.  Padding
 * holds the code of zero. */
#include "frames.h"

#include "parallel.h"

#include <string.h>

enum { BYTES_GRAIN = 1 << 16, FEW = 4 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
    pqc_frames frames;
    ptrdiff_t groups, channels; /* of a group of the input */
} job;

static const char *prepare_stack(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    const char *why = pqc_frames_check(s);
    if (why)
        return why;
    if (in->codes.content != PQC_U8_CODES)
        return "bytes expected";
    return out->h == in->h && out->w == in->w && s->layout[0] >= 1 && s->layout[0] <= in->c &&
                   in->c % s->layout[0] == 0 &&
                   (double)in->c * (double)pqc_frames_of(s).z.kernel == (double)out->c
               ? NULL
               : "the channels of all taps expected";
}

/* Copies `bytes` bytes of each pixel. */
static void copy(char *to, ptrdiff_t to_pixel, const char *from, ptrdiff_t from_pixel,
                 ptrdiff_t pixels, ptrdiff_t bytes)
{
    if (bytes <= FEW) {
        for (ptrdiff_t x = 0; x < pixels; x++)
            for (ptrdiff_t i = 0; i < bytes; i++)
                to[x * to_pixel + i] = from[x * from_pixel + i];
        return;
    }
    for (ptrdiff_t x = 0; x < pixels; x++)
        memmove(to + x * to_pixel, from + x * from_pixel, (size_t)bytes);
}

static void run_row(const job *j, ptrdiff_t n, ptrdiff_t y)
{
    const pqc_image *in = &j->step->input, *out = &j->step->output[0];
    for (ptrdiff_t tap = 0; tap < j->frames.z.kernel; tap++) {
        ptrdiff_t frame = pqc_frame_of_tap(&j->frames, n, tap);
        char *to = (char *)pqc_image_pixels(out, j->buffers, n, y, 0).at + tap * j->channels;
        const char *from = pqc_image_pixels(in, j->buffers, pqc_max(frame, 0), y, 0).at;
        for (ptrdiff_t group = 0; group < j->groups; group++) {
            if (frame >= 0)
                copy(to, out->codes.pixel, from, in->codes.pixel, in->w, j->channels);
            else
                for (ptrdiff_t x = 0; x < in->w; x++)
                    memset(to + x * out->codes.pixel, out->codes.zero, (size_t)j->channels);
            to += j->frames.z.kernel * j->channels;
            from += j->channels;
        }
    }
}

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    ptrdiff_t height = j->step->output[0].h;
    for (ptrdiff_t row = begin; row < end; row++)
        run_row(j, row / height, row % height);
}

static unsigned run_stack(const pqc_step *s, char *const *buffers)
{
    const pqc_image *out = &s->output[0];
    job j = {.step = s, .buffers = buffers, .frames = pqc_frames_of(s)};
    j.groups = (ptrdiff_t)s->layout[0];
    j.channels = s->input.c / j.groups;
    pqc_parallel_tasks(out->n * out->h, out->n * out->h * out->w * out->c, BYTES_GRAIN, run_rows,
                       &j);
    return 0;
}

const pqc_step_type pqc_stack_step = {
    .prepare = prepare_stack, .run = run_stack, .expects = PQC_SAME_CODES, .has_layout = true};
