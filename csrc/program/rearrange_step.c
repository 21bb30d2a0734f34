/* Moves codes or floats without changing them: repeated pixels of larger images, channels that become pixels, slices
 * of longer pixels, every n-th pixel. */
#include "step.h"

#include "parallel.h"

#include <string.h>

enum { BYTES_GRAIN = 1 << 16, MAX_FACTOR = 1 << 10, MAX_KNOWN = 64 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
} job;

static const char *prepare_rearrange(pqc_step *s)
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

/* Copies each of `count` runs of `bytes` bytes `copies` times; runs are `step` bytes apart, copies `pixel` bytes. */
typedef struct {
    const char *from;
    ptrdiff_t step, count;
    char *to;
    ptrdiff_t pixel, copies, bytes;
} runs;

/* The output and input of a hand-made plan may overlap; the results are then meaningless, but nothing else happens.
 * `bytes` is a constant, at most MAX_KNOWN.  Copies through a buffer, because GCC would call memmove for three bytes. */
PQC_INLINE void copy_runs(const runs *given, const size_t bytes)
{
    runs r = *given; /* a copy, which no byte written below can change */
    for (ptrdiff_t i = 0; i < r.count; i++, r.from += r.step)
        for (ptrdiff_t k = 0; k < r.copies; k++, r.to += r.pixel) {
            char held[MAX_KNOWN];
            memcpy(held, r.from, bytes);
            memcpy(r.to, held, bytes);
        }
}

static void copy_any(const runs *given)
{
    runs r = *given;
    for (ptrdiff_t i = 0; i < r.count; i++, r.from += r.step)
        for (ptrdiff_t k = 0; k < r.copies; k++, r.to += r.pixel)
            memmove(r.to, r.from, (size_t)r.bytes);
}

#define BODY(BYTES)                                                                                \
    static void copy_##BYTES(const runs *r)                                                        \
    {                                                                                              \
        copy_runs(r, BYTES);                                                                       \
    }

BODY(3)
BODY(4)
BODY(8)
BODY(16)
BODY(24)
BODY(32)
BODY(48)
BODY(64)

/* Sizes as compile-time constants: a short copy is then a few moves. */
static void (*const copy_of[])(const runs *) = {
    [3] = copy_3,   [4] = copy_4,   [8] = copy_8,   [16] = copy_16,
    [24] = copy_24, [32] = copy_32, [48] = copy_48, [64] = copy_64,
};

static void copy(const runs *r)
{
    size_t bytes = (size_t)r->bytes;
    if (bytes < sizeof copy_of / sizeof *copy_of && copy_of[bytes])
        copy_of[bytes](r);
    else
        copy_any(r);
}

/* One row of channels that become neighbouring pixels.  They are contiguous on both sides, unless the output's pixels
 * are longer. */
static void run_row(const job *j, ptrdiff_t n, ptrdiff_t y)
{
    const pqc_step *s = j->step;
    const pqc_image *in = &s->input, *out = &s->output[0];
    ptrdiff_t factor = s->x.stride, bytes = out->c * pqc_content_size(out->codes.content);
    ptrdiff_t pixel = out->codes.pixel;
    const char *from = pqc_image_pixels(in, j->buffers, n, y / s->y.stride, 0).at;
    char *to = pqc_image_pixels(out, j->buffers, n, y, 0).at;
    if (s->kind == PQC_STEP_RESIZE) {
        copy(&(runs){from, in->codes.pixel, in->w, to, pixel, factor, bytes});
        return;
    }
    from += y % s->y.stride * factor * bytes;
    if (pixel == bytes)
        copy(&(runs){from, in->codes.pixel, in->w, to, factor * bytes, 1, factor * bytes});
    for (ptrdiff_t x = 0; x < in->w && pixel != bytes; x++)
        copy(&(runs){from + x * in->codes.pixel, bytes, factor, to + x * factor * pixel, pixel, 1,
                     bytes});
}

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    ptrdiff_t height = j->step->output[0].h;
    for (ptrdiff_t row = begin; row < end; row++)
        run_row(j, row / height, row % height);
}

static unsigned run_rearrange(const pqc_step *s, char *const *buffers)
{
    job j = {s, buffers};
    const pqc_image *out = &s->output[0];
    ptrdiff_t bytes = out->w * out->c * pqc_content_size(out->codes.content);
    pqc_parallel_tasks(out->n * out->h, out->n * out->h * bytes, BYTES_GRAIN, run_rows, &j);
    return 0;
}

const pqc_step_type pqc_rearrange_step = {
    .prepare = prepare_rearrange, .run = run_rearrange, .expects = PQC_SAME_CODES};

static bool is_within(const pqc_window *w, ptrdiff_t outputs, ptrdiff_t size)
{
    return (double)w->before + (double)(outputs - 1) * (double)w->stride < (double)size;
}

static const char *prepare_copy(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    const char *why = pqc_window_check(s);
    if (why)
        return why;
    if (in->n != out->n || in->c != out->c)
        return "as many images and channels expected";
    return is_within(&s->y, out->h, in->h) && is_within(&s->x, out->w, in->w)
               ? NULL
               : "pixels outside of the image";
}

static void copy_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_step *s = j->step;
    const pqc_image *in = &s->input, *out = &s->output[0];
    ptrdiff_t bytes = out->c * pqc_content_size(out->codes.content), pixel = out->codes.pixel;
    ptrdiff_t step = s->x.stride * in->codes.pixel;
    for (ptrdiff_t row = begin; row < end; row++) {
        ptrdiff_t n = row / out->h, y = row % out->h;
        const char *from =
            pqc_image_pixels(in, j->buffers, n, y * s->y.stride + s->y.before, s->x.before).at;
        char *to = pqc_image_pixels(out, j->buffers, n, y, 0).at;
        if (step == bytes && pixel == bytes)
            memmove(to, from, (size_t)(out->w * bytes));
        else
            copy(&(runs){from, step, out->w, to, pixel, 1, bytes});
    }
}

static unsigned run_copy(const pqc_step *s, char *const *buffers)
{
    job j = {s, buffers};
    const pqc_image *out = &s->output[0];
    ptrdiff_t rows = out->n * out->h;
    pqc_parallel_tasks(rows, rows * out->w * out->c, BYTES_GRAIN, copy_rows, &j);
    return 0;
}

const pqc_step_type pqc_copy_step = {
    .prepare = prepare_copy, .run = run_copy, .expects = PQC_SAME_CODES};
