/* The same codes or floats elsewhere: larger images of repeated pixels, channels that become pixels, channels of a longer
 * pixel. */
#include "step.h"

#include "parallel.h"

#include <string.h>

enum { BYTES_GRAIN = 1 << 16, MAX_FACTOR = 1 << 10 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
} job;

const char *pqc_rearrange_step_prepare(const pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    ptrdiff_t y = s->y.stride, x = s->x.stride;
    if (y < 1 || y > MAX_FACTOR || x < 1 || x > MAX_FACTOR)
        return "a factor beyond its bounds";
    if (out->n != in->n || out->h != in->h * y || out->w != in->w * x)
        return "an output of another size";
    if (in->c != (s->kind == PQC_STEP_SHUFFLE ? out->c * y * x : out->c))
        return "an output of other channels";
    return NULL;
}

static void run_row(const job *j, ptrdiff_t n, ptrdiff_t y)
{
    const pqc_step *s = j->step;
    const pqc_image *in = &s->input, *out = &s->output[0];
    ptrdiff_t factor = s->x.stride, bytes = out->c * pqc_content_size(out->codes.content);
    const char *from = pqc_image_pixels(in, j->buffers, n, y / s->y.stride, 0).at;
    char *to = pqc_image_pixels(out, j->buffers, n, y, 0).at;
    bool shuffles = s->kind == PQC_STEP_SHUFFLE;
    if (shuffles)
        from += y % s->y.stride * factor * bytes;
    for (ptrdiff_t x = 0; x < in->w; x++, from += in->codes.pixel)
        for (ptrdiff_t k = 0; k < factor; k++, to += out->codes.pixel)
            memmove(to, shuffles ? from + k * bytes : from, (size_t)bytes);
}

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    ptrdiff_t height = j->step->output[0].h;
    for (ptrdiff_t row = begin; row < end; row++)
        run_row(j, row / height, row % height);
}

void pqc_rearrange_step_run(const pqc_step *s, char *const *buffers)
{
    job j = {s, buffers};
    const pqc_image *out = &s->output[0];
    ptrdiff_t bytes = out->w * out->c * pqc_content_size(out->codes.content);
    pqc_parallel_tasks(out->n * out->h, out->n * out->h * bytes, BYTES_GRAIN, run_rows, &j);
}
