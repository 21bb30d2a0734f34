/* Maxima over windows of bytes or floats, channels last. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

#include <math.h>
#include <string.h>

enum { BYTES_GRAIN = 1 << 16, CHANNELS = 256 }; /* CHANNELS: of floats, at a time */

typedef struct {
    const pqc_step *step;
    char *const *buffers;
} job;

/* Maxima of floats over the taps of a pixel, for n channels, in NumPy's order. */
static void most_of_floats(const pqc_maxpool_params *g, const char *x, ptrdiff_t n, float *y)
{
    float room[2][CHANNELS];
    const float *most = (const float *)(const void *)x;
    ptrdiff_t taps = g->kh * g->kw;
    for (ptrdiff_t i = 1; i < taps; i++) {
        const char *tap = x + i / g->kw * g->tap_row + i % g->kw * g->tap_pixel;
        float *to = i == taps - 1 ? y : room[i % 2];
        pqc.chain_f32(PQC_CHAIN_MAX, most, (const float *)(const void *)tap, 0, to, n);
        most = to;
    }
    if (taps == 1)
        memcpy(y, most, (size_t)n * sizeof *y);
}

static void max_pool_floats(const pqc_maxpool_params *g, ptrdiff_t pixels, char *y)
{
    const char *x = (const char *)g->x;
    for (ptrdiff_t p = 0; p < pixels; p++, x += g->step, y += g->y_pixel)
        for (ptrdiff_t c = 0; c < g->channels; c += CHANNELS)
            most_of_floats(g, x + 4 * c, pqc_min(g->channels - c, CHANNELS),
                           (float *)(void *)y + c);
}

/* Stores the smallest value, for a pixel without a tap on the image. */
static void fill_least(const pqc_step *s, char *y)
{
    const pqc_pixels *to = &s->output[0].codes;
    if (to->content == PQC_U8_CODES)
        memset(y, (int)to->lo + s->input.codes.zero, (size_t)s->input.c);
    else
        for (ptrdiff_t c = 0; c < s->input.c; c++)
            ((float *)(void *)y)[c] = -INFINITY;
}

/* Outputs [first, last) of a row, whose windows have the same taps along the row. */
static void run_pixels(const job *j, ptrdiff_t n, ptrdiff_t y, const pqc_taps *rows,
                       const pqc_taps *columns, ptrdiff_t first, ptrdiff_t last)
{
    const pqc_step *s = j->step;
    const pqc_image *in = &s->input, *out = &s->output[0];
    char *to = pqc_image_pixels(out, j->buffers, n, y, first).at;
    if (rows->first >= rows->end || columns->first >= columns->end) {
        for (ptrdiff_t i = 0; i <= last - first; i++)
            fill_least(s, to + i * out->codes.pixel);
        return;
    }
    pqc_maxpool_params g = {.x = pqc_image_pixels(in, j->buffers, n,
                                                  rows->start + rows->first * s->y.dilation,
                                                  columns->start + columns->first * s->x.dilation)
                                     .at,
                            .kh = rows->end - rows->first,
                            .kw = columns->end - columns->first,
                            .tap_row = s->y.dilation * pqc_image_row(in),
                            .tap_pixel = s->x.dilation * in->codes.pixel,
                            .step = s->x.stride * in->codes.pixel,
                            .channels = in->c,
                            .y_pixel = out->codes.pixel};
    if (in->codes.content == PQC_FLOATS)
        max_pool_floats(&g, last - first + 1, to);
    else
        pqc.maxpool_nhwc(&g, last - first + 1, (uint8_t *)to);
}

static bool is_whole(const pqc_window *w, ptrdiff_t at, ptrdiff_t size)
{
    pqc_taps t = pqc_taps_of(w, at, size);
    return t.first == 0 && t.end == w->kernel;
}

static void run_row(const job *j, ptrdiff_t n, ptrdiff_t y)
{
    const pqc_window *window = &j->step->x;
    ptrdiff_t width = j->step->output[0].w, size = j->step->input.w;
    pqc_taps rows = pqc_taps_of(&j->step->y, y, j->step->input.h);
    for (ptrdiff_t x = 0, last; x < width; x = last + 1) {
        pqc_taps columns = pqc_taps_of(window, x, size);
        last = x;
        if (is_whole(window, x, size))
            while (last + 1 < width && is_whole(window, last + 1, size))
                last++;
        run_pixels(j, n, y, &rows, &columns, x, last);
    }
}

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_image *out = &j->step->output[0];
    for (ptrdiff_t row = begin; row < end; row++)
        run_row(j, row / out->h, row % out->h);
}

static const char *prepare_pool(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    if (in->codes.content != PQC_U8_CODES && in->codes.content != PQC_FLOATS)
        return "bytes or floats expected";
    return in->n == out->n && in->c == out->c ? pqc_window_check(s)
                                              : "as many images and channels expected";
}

static unsigned run_pool(const pqc_step *s, char *const *buffers)
{
    job j = {s, buffers};
    const pqc_image *out = &s->output[0];
    ptrdiff_t rows = out->n * out->h;
    ptrdiff_t taps = pqc_min(s->y.kernel, s->input.h) * pqc_min(s->x.kernel, s->input.w);
    pqc_parallel_tasks(rows, rows * out->w * out->c * taps, BYTES_GRAIN, run_rows, &j);
    return 0;
}

const pqc_step_type pqc_pool_step = {
    .prepare = prepare_pool, .run = run_pool, .expects = PQC_SAME_CODES};
