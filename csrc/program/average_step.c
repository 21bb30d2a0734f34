/* Averages of float images, added up in the order that float_nn uses.  Over windows: each row of a window from left
 * to right, then the row sums from top to bottom; padding adds 0.  Over whole images: NumPy's pairwise order over the
 * pixels of a channel, up to 128 as described in sum_f32.h, more as two halves, the first a multiple of 8. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum { CHANNELS = PQC_SUMMED, MAX_TAPS = 7, FLOATS_GRAIN = 1 << 14 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
    ptrdiff_t parts; /* parts of the channels */
    bool by_rows;    /* run_row does all channels of a row */
    atomic_uint flags;
} job;

/* Some channels of an image. */
typedef struct {
    const job *j;
    ptrdiff_t n, first, channels;
} part;

static const char *prepare_average(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    if (in->nchw || s->residual.codes.content != PQC_NOTHING)
        return "an image and no residual expected";
    for (int i = 0; i < s->outputs; i++) {
        const pqc_image *o = &s->output[i];
        if (o->nchw || o->n != in->n || o->c != in->c || o->h != out->h || o->w != out->w)
            return "outputs of one shape, as many images and channels expected";
    }
    if (s->kind == PQC_STEP_MEAN)
        return out->h == 1 && out->w == 1 ? NULL : "one pixel for each image expected";
    return pqc_window_check(s);
}

static void load(const part *p, ptrdiff_t y, ptrdiff_t x, float *to)
{
    pqc_pixels from = pqc_image_pixels(&p->j->step->input, p->j->buffers, p->n, y, x);
    const char *at = (const char *)from.at + p->first * pqc_content_size(from.content);
    pqc.decode_f32(&from, at, to, p->channels);
}

static unsigned store(const part *p, ptrdiff_t y, ptrdiff_t x, const float *from)
{
    const pqc_step *s = p->j->step;
    unsigned flags = 0;
    for (int i = 0; i < s->outputs; i++) {
        pqc_pixels to = pqc_image_pixels(&s->output[i], p->j->buffers, p->n, y, x);
        char *at = (char *)to.at + p->first * pqc_content_size(to.content);
        flags |= pqc.encode_f32(&to, from, at, p->channels);
    }
    return flags;
}

static void add(float *restrict to, const float *restrict x, ptrdiff_t channels)
{
    for (ptrdiff_t c = 0; c < channels; c++)
        to[c] += x[c];
}

/* Sums pixels [first, first + n), n <= PQC_RUN, in row order.  Floats, which have no border, are summed in place. */
static void sum_run(const part *p, ptrdiff_t first, ptrdiff_t n, float *to)
{
    const pqc_image *in = &p->j->step->input;
    if (in->codes.content == PQC_FLOATS) {
        const char *at = pqc_image_pixels(in, p->j->buffers, p->n, 0, 0).at;
        at += first * in->codes.pixel + p->first * (ptrdiff_t)sizeof *to;
        pqc.sum_f32(at, in->codes.pixel, n, p->channels, to);
        return;
    }
    float x[PQC_RUN][CHANNELS];
    for (ptrdiff_t i = 0; i < n; i++)
        load(p, (first + i) / in->w, (first + i) % in->w, x[i]);
    pqc.sum_f32((const char *)x, sizeof x[0], n, p->channels, to);
}

static void sum_pairwise(const part *p, ptrdiff_t first, ptrdiff_t n, float *to)
{
    float second[CHANNELS];
    if (n <= PQC_RUN) {
        sum_run(p, first, n, to);
        return;
    }
    ptrdiff_t half = n / 2 - n / 2 % 8;
    sum_pairwise(p, first, half, to);
    sum_pairwise(p, first + half, n - half, second);
    add(to, second, p->channels);
}

static void divide(float *y, float by, ptrdiff_t channels)
{
    for (ptrdiff_t c = 0; c < channels; c++)
        y[c] = (0.0f + y[c]) / by; /* no sum is -0 */
}

static unsigned run_mean(const part *p)
{
    const pqc_image *in = &p->j->step->input;
    float y[CHANNELS];
    sum_pairwise(p, 0, in->h * in->w, y);
    divide(y, (float)(in->h * in->w), p->channels);
    return store(p, 0, 0, y);
}

/* Sums some taps of a row of a window one after the other, floats in place.  There is at least one. */
static void sum_taps(const part *p, ptrdiff_t y, const pqc_taps *columns, float *to)
{
    const pqc_image *in = &p->j->step->input;
    const ptrdiff_t dilation = p->j->step->x.dilation, n = columns->end - columns->first;
    const ptrdiff_t from = columns->start + columns->first * dilation;
    if (in->codes.content == PQC_FLOATS && n <= MAX_TAPS) {
        const char *at = pqc_image_pixels(in, p->j->buffers, p->n, y, from).at;
        pqc.sum_f32(at + p->first * (ptrdiff_t)sizeof *to, dilation * in->codes.pixel, n,
                    p->channels, to);
        return;
    }
    load(p, y, from, to);
    for (ptrdiff_t k = 1; k < n; k++) {
        float x[CHANNELS];
        load(p, y, from + k * dilation, x);
        add(to, x, p->channels);
    }
}

/* The sum of one row of a window.  Taps on padding add 0, which turns -0 into 0. */
static void sum_row(const part *p, ptrdiff_t y, const pqc_taps *columns, float *to)
{
    const pqc_window *window = &p->j->step->x;
    if (columns->first < columns->end)
        sum_taps(p, y, columns, to);
    else
        memset(to, 0, (size_t)p->channels * sizeof *to);
    if (columns->end - columns->first < window->kernel)
        for (ptrdiff_t c = 0; c < p->channels; c++)
            to[c] += 0.0f;
}

static unsigned run_window(const part *p, ptrdiff_t y, ptrdiff_t x)
{
    const pqc_step *s = p->j->step;
    pqc_taps rows = pqc_taps_of(&s->y, y, s->input.h), columns = pqc_taps_of(&s->x, x, s->input.w);
    bool padded = s->kind == PQC_STEP_PADDED_AVERAGE;
    float sum[CHANNELS], row[CHANNELS];
    memset(sum, 0, (size_t)p->channels * sizeof *sum);
    for (ptrdiff_t i = rows.first; i < rows.end; i++) {
        sum_row(p, rows.start + i * s->y.dilation, &columns, row);
        if (i == rows.first)
            memcpy(sum, row, (size_t)p->channels * sizeof *sum);
        else
            add(sum, row, p->channels);
    }
    float height = (float)(padded ? s->y.kernel : rows.end - rows.first);
    float width = (float)(padded ? s->x.kernel : columns.end - columns.first);
    bool clipped = rows.end - rows.first < s->y.kernel;
    for (ptrdiff_t c = 0; c < p->channels; c++)
        sum[c] = (clipped ? sum[c] + 0.0f : sum[c]) / (height * width);
    return store(p, y, x, sum);
}

/* Outputs [from, end) of a row, each by itself. */
static unsigned run_windows(const job *j, ptrdiff_t n, ptrdiff_t y, ptrdiff_t from, ptrdiff_t end)
{
    ptrdiff_t channels = j->step->output[0].c;
    unsigned flags = 0;
    for (ptrdiff_t x = from; x < end; x++)
        for (ptrdiff_t first = 0; first < channels; first += CHANNELS) {
            part p = {j, n, first, pqc_min(channels - first, CHANNELS)};
            flags |= run_window(&p, y, x);
        }
    return flags;
}

/* The same where all columns of the windows lie on the image: floats that lie together in the images and in their sums. */
static unsigned run_together(const job *j, ptrdiff_t n, ptrdiff_t y, ptrdiff_t from, ptrdiff_t end)
{
    const pqc_step *s = j->step;
    const pqc_image *in = &s->input;
    pqc_taps rows = pqc_taps_of(&s->y, y, in->h);
    ptrdiff_t taps = rows.end - rows.first, floats = (end - from) * in->c;
    bool padded = s->kind == PQC_STEP_PADDED_AVERAGE, clipped = taps < s->y.kernel;
    float by = (float)(padded ? s->y.kernel : taps) * (float)s->x.kernel;
    float row[MAX_TAPS][CHANNELS], sum[CHANNELS];
    unsigned flags = 0;
    for (ptrdiff_t done = 0; done < floats; done += CHANNELS) {
        ptrdiff_t some = pqc_min(floats - done, CHANNELS);
        for (ptrdiff_t i = 0; i < taps; i++) {
            const char *at =
                pqc_image_pixels(in, j->buffers, n, rows.start + (rows.first + i) * s->y.dilation,
                                 from - s->x.before)
                    .at;
            pqc.sum_f32(at + done * (ptrdiff_t)sizeof *sum, in->codes.pixel * s->x.dilation,
                        s->x.kernel, some, row[i]);
        }
        pqc.sum_f32((const char *)row, sizeof row[0], taps, some, sum);
        for (ptrdiff_t c = 0; c < some; c++)
            sum[c] = (clipped ? sum[c] + 0.0f : sum[c]) / by;
        for (int i = 0; i < s->outputs; i++) {
            pqc_pixels to = pqc_image_pixels(&s->output[i], j->buffers, n, y, from);
            char *at = (char *)to.at + done * pqc_content_size(to.content);
            flags |= pqc.encode_f32(&to, sum, at, some);
        }
    }
    return flags;
}

/* Whether the floats of a row's windows lie together, and so few taps that sum_f32 adds one after the other. */
static bool lie_together(const pqc_step *s)
{
    const pqc_image *in = &s->input;
    bool together = s->kind != PQC_STEP_MEAN && in->codes.content == PQC_FLOATS &&
                    in->codes.pixel == in->c * pqc_content_size(PQC_FLOATS) && s->x.stride == 1 &&
                    s->x.kernel <= MAX_TAPS && s->y.kernel <= MAX_TAPS;
    for (int i = 0; i < s->outputs; i++) {
        const pqc_pixels *to = &s->output[i].codes;
        together &= to->pixel == in->c * pqc_content_size(to->content);
    }
    return together;
}

static unsigned run_row(const job *j, ptrdiff_t n, ptrdiff_t y)
{
    const pqc_step *s = j->step;
    ptrdiff_t width = s->output[0].w, reach = (s->x.kernel - 1) * s->x.dilation;
    pqc_taps rows = pqc_taps_of(&s->y, y, s->input.h);
    ptrdiff_t from = pqc_min(s->x.before, width);
    ptrdiff_t end = pqc_clamp(s->input.w + s->x.before - reach, from, width);
    if (rows.first >= rows.end || from == end)
        return run_windows(j, n, y, 0, width);
    return run_windows(j, n, y, 0, from) | run_together(j, n, y, from, end) |
           run_windows(j, n, y, end, width);
}

/* Tasks are numbered (image, row of outputs, part of the channels). */
static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    const pqc_image *out = &j->step->output[0];
    unsigned flags = 0;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t row = i / j->parts, first = i % j->parts * CHANNELS;
        part p = {j, row / out->h, first, pqc_min(out->c - first, CHANNELS)};
        if (j->by_rows) {
            flags |= run_row(j, row / out->h, row % out->h);
            continue;
        }
        if (j->step->kind == PQC_STEP_MEAN)
            flags |= run_mean(&p);
        for (ptrdiff_t x = 0; x < out->w && j->step->kind != PQC_STEP_MEAN; x++)
            flags |= run_window(&p, row % out->h, x);
    }
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

static unsigned run_average(const pqc_step *s, char *const *buffers)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    job j = {.step = s, .buffers = buffers, .by_rows = lie_together(s)};
    j.parts = j.by_rows ? 1 : pqc_div_round_up(in->c, CHANNELS);
    ptrdiff_t taps = s->kind == PQC_STEP_MEAN ? in->h * in->w : s->y.kernel * s->x.kernel;
    ptrdiff_t cost = out->n * out->h * out->w * out->c * pqc_min(taps, in->h * in->w);
    pqc_parallel_tasks(out->n * out->h * j.parts, cost, FLOATS_GRAIN, run_tasks, &j);
    return atomic_load(&j.flags);
}

const pqc_step_type pqc_average_step = {.prepare = prepare_average, .run = run_average};
