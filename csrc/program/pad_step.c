/* Surrounds each image with pixels of one value, in the same codes or floats.  `y.before` and `x.before` say where
 * the image begins, `low` is the value. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

#include <string.h>

enum { BYTES_GRAIN = 1 << 16 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
    char code[sizeof(float)]; /* encoding of the value */
} job;

static const char *prepare_pad(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    if (out->n != in->n || out->c != in->c)
        return "as many images and channels expected";
    return s->y.before >= 0 && s->y.before <= out->h - in->h && s->x.before >= 0 &&
                   s->x.before <= out->w - in->w
               ? NULL
               : "an image that lies on the output expected";
}

static void fill_pixel(const job *j, char *to, ptrdiff_t channels)
{
    ptrdiff_t size = pqc_content_size(j->step->output[0].codes.content);
    if (size == 1) {
        memset(to, j->code[0], (size_t)channels);
        return;
    }
    for (ptrdiff_t c = 0; c < channels; c++)
        memcpy(to + c * size, j->code, (size_t)size);
}

/* Fills pixels [first, end) of a row. */
static void fill(const job *j, ptrdiff_t n, ptrdiff_t y, ptrdiff_t first, ptrdiff_t end)
{
    const pqc_image *out = &j->step->output[0];
    ptrdiff_t bytes = out->c * pqc_content_size(out->codes.content);
    char *to = pqc_image_pixels(out, j->buffers, n, y, first).at;
    if (out->codes.pixel == bytes) {
        fill_pixel(j, to, (end - first) * out->c);
        return;
    }
    for (ptrdiff_t x = first; x < end; x++, to += out->codes.pixel)
        fill_pixel(j, to, out->c);
}

static void copy(const job *j, ptrdiff_t n, ptrdiff_t y, ptrdiff_t from_y)
{
    const pqc_image *in = &j->step->input, *out = &j->step->output[0];
    ptrdiff_t bytes = out->c * pqc_content_size(out->codes.content);
    const char *from = pqc_image_pixels(in, j->buffers, n, from_y, 0).at;
    char *to = pqc_image_pixels(out, j->buffers, n, y, j->step->x.before).at;
    if (in->codes.pixel == bytes && out->codes.pixel == bytes) {
        memmove(to, from, (size_t)(in->w * bytes));
        return;
    }
    for (ptrdiff_t x = 0; x < in->w; x++)
        memmove(to + x * out->codes.pixel, from + x * in->codes.pixel, (size_t)bytes);
}

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_step *s = j->step;
    const pqc_image *in = &s->input, *out = &s->output[0];
    for (ptrdiff_t row = begin; row < end; row++) {
        ptrdiff_t n = row / out->h, y = row % out->h, from_y = y - s->y.before;
        if (from_y < 0 || from_y >= in->h) {
            fill(j, n, y, 0, out->w);
            continue;
        }
        fill(j, n, y, 0, s->x.before);
        copy(j, n, y, from_y);
        fill(j, n, y, s->x.before + in->w, out->w);
    }
}

static unsigned run_pad(const pqc_step *s, char *const *buffers)
{
    const pqc_image *out = &s->output[0];
    job j = {.step = s, .buffers = buffers};
    unsigned flags = pqc.encode_f32(&out->codes, &s->low, j.code, 1);
    ptrdiff_t rows = out->n * out->h;
    pqc_parallel_tasks(rows, rows * out->w * out->c, BYTES_GRAIN, run_rows, &j);
    return flags;
}

const pqc_step_type pqc_pad_step = {
    .prepare = prepare_pad, .run = run_pad, .expects = PQC_SAME_CODES};
