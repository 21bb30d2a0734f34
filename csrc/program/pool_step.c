#include "step.h"

#include "parallel.h"

#include <string.h>

enum { BYTES_GRAIN = 1 << 16 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
} job;

/* Taps [first, end) of a window at output `at` that lie on the input. */
typedef struct {
    ptrdiff_t first, end, start; /* start: coordinate of tap 0 */
} taps;

static taps taps_of(const pqc_window *w, ptrdiff_t at, ptrdiff_t size)
{
    ptrdiff_t start = at * w->stride - w->before;
    ptrdiff_t first = start < 0 ? pqc_div_round_up(-start, w->dilation) : 0;
    ptrdiff_t end = start >= size ? 0 : pqc_div_round_up(size - start, w->dilation);
    return (taps){pqc_min(first, w->kernel), pqc_clamp(end, 0, w->kernel), start};
}

static void take_maxima(const uint8_t *x, ptrdiff_t channels, uint8_t *y)
{
    for (ptrdiff_t c = 0; c < channels; c++)
        y[c] = x[c] > y[c] ? x[c] : y[c];
}

static void run_pixel(const job *j, ptrdiff_t n, ptrdiff_t y, ptrdiff_t x)
{
    const pqc_step *s = j->step;
    const pqc_image *in = &s->input;
    const uint8_t *base = (const uint8_t *)j->buffers[in->buffer] + in->offset;
    uint8_t *to = pqc_image_pixels(&s->output[0], j->buffers, n, y, x).at;
    taps rows = taps_of(&s->y, y, in->h), columns = taps_of(&s->x, x, in->w);
    memset(to, (int)(s->output[0].codes.lo) + in->codes.zero, (size_t)in->c);
    for (ptrdiff_t i = rows.first; i < rows.end; i++)
        for (ptrdiff_t k = columns.first; k < columns.end; k++)
            take_maxima(base + pqc_image_at(in, n, rows.start + i * s->y.dilation,
                                            columns.start + k * s->x.dilation),
                        in->c, to);
}

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_image *out = &j->step->output[0];
    for (ptrdiff_t row = begin; row < end; row++)
        for (ptrdiff_t x = 0; x < out->w; x++)
            run_pixel(j, row / out->h, row % out->h, x);
}

void pqc_pool_step_run(const pqc_step *s, char *const *buffers)
{
    job j = {s, buffers};
    const pqc_image *out = &s->output[0];
    ptrdiff_t rows = out->n * out->h;
    pqc_parallel_tasks(rows, rows * out->w * out->c * s->y.kernel * s->x.kernel, BYTES_GRAIN,
                       run_rows, &j);
}

static void copy_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_image *in = &j->step->input, *out = &j->step->output[0];
    for (ptrdiff_t row = begin; row < end; row++) {
        pqc_pixels from = pqc_image_pixels(in, j->buffers, row / in->h, row % in->h, 0);
        pqc_pixels to = pqc_image_pixels(out, j->buffers, row / in->h, row % in->h, 0);
        for (ptrdiff_t x = 0; x < in->w; x++)
            memcpy((char *)to.at + x * to.pixel, (const char *)from.at + x * from.pixel,
                   (size_t)in->c);
    }
}

void pqc_copy_step_run(const pqc_step *s, char *const *buffers)
{
    job j = {s, buffers};
    ptrdiff_t rows = s->input.n * s->input.h;
    pqc_parallel_tasks(rows, rows * s->input.w * s->input.c, BYTES_GRAIN, copy_rows, &j);
}
