/* Averages of images, in the order in which float_nn adds.
 *
 * Over windows: along each row of a window from the left to the right, then those sums from the top to the bottom; padding adds 0.
 * Over whole images: NumPy's order for the pixels of a channel, pairwise: up to 7 one after the other; up to 128 in eight
 * sums, of every eighth each, ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)), then what is left; more in two halves, the first a multiple of
 * 8. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum { CHANNELS = 32, RUN = 128, SUMS = 8, FLOATS_GRAIN = 1 << 14 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
    ptrdiff_t parts; /* of the channels */
    atomic_uint flags;
} job;

/* Some channels of an image. */
typedef struct {
    const job *j;
    ptrdiff_t n, first, channels;
} part;

const char *pqc_average_step_prepare(const pqc_step *s)
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

static void add(float *restrict to, const float *restrict x)
{
    for (int c = 0; c < CHANNELS; c++)
        to[c] += x[c];
}

/* Sums of pixels [first, first + n), at most RUN, counted along the rows. */
static void sum_run(const part *p, ptrdiff_t first, ptrdiff_t n, float *to)
{
    float sums[SUMS][CHANNELS] = {{0}}, x[CHANNELS] = {0};
    ptrdiff_t width = p->j->step->input.w, lanes = n < SUMS ? 1 : SUMS, even = n - n % lanes;
    for (ptrdiff_t i = 0; i < n; i++) {
        load(p, (first + i) / width, (first + i) % width, x);
        if (i < lanes)
            memcpy(sums[i], x, sizeof x);
        else if (i < even)
            add(sums[i % lanes], x);
        else
            break;
    }
    for (int step = 1; step < lanes; step *= 2)
        for (int i = 0; i < SUMS; i += 2 * step)
            add(sums[i], sums[i + step]);
    for (ptrdiff_t i = even; i < n; i++) {
        load(p, (first + i) / width, (first + i) % width, x);
        add(sums[0], x);
    }
    memcpy(to, sums[0], sizeof sums[0]);
}

static void sum_pairwise(const part *p, ptrdiff_t first, ptrdiff_t n, float *to)
{
    float second[CHANNELS];
    if (n <= RUN) {
        sum_run(p, first, n, to);
        return;
    }
    ptrdiff_t half = n / 2 - n / 2 % SUMS;
    sum_pairwise(p, first, half, to);
    sum_pairwise(p, first + half, n - half, second);
    add(to, second);
}

static void divide(float *y, float by)
{
    for (int c = 0; c < CHANNELS; c++)
        y[c] = (0.0f + y[c]) / by; /* no sum is -0 */
}

static unsigned run_mean(const part *p)
{
    const pqc_image *in = &p->j->step->input;
    float y[CHANNELS];
    sum_pairwise(p, 0, in->h * in->w, y);
    divide(y, (float)(in->h * in->w));
    return store(p, 0, 0, y);
}

/* The sum of a window's row; the taps that lie on the padding add 0, which turns -0 into 0. */
static void sum_row(const part *p, ptrdiff_t y, const pqc_taps *columns, float *to)
{
    const pqc_window *window = &p->j->step->x;
    float x[CHANNELS] = {0};
    memset(to, 0, CHANNELS * sizeof *to);
    for (ptrdiff_t k = columns->first; k < columns->end; k++) {
        load(p, y, columns->start + k * window->dilation, x);
        if (k == columns->first)
            memcpy(to, x, sizeof x);
        else
            add(to, x);
    }
    if (columns->end - columns->first < window->kernel)
        for (int c = 0; c < CHANNELS; c++)
            to[c] += 0.0f;
}

static unsigned run_window(const part *p, ptrdiff_t y, ptrdiff_t x)
{
    const pqc_step *s = p->j->step;
    pqc_taps rows = pqc_taps_of(&s->y, y, s->input.h), columns = pqc_taps_of(&s->x, x, s->input.w);
    bool padded = s->kind == PQC_STEP_PADDED_AVERAGE;
    float sum[CHANNELS] = {0}, row[CHANNELS];
    for (ptrdiff_t i = rows.first; i < rows.end; i++) {
        sum_row(p, rows.start + i * s->y.dilation, &columns, row);
        if (i == rows.first)
            memcpy(sum, row, sizeof row);
        else
            add(sum, row);
    }
    float height = (float)(padded ? s->y.kernel : rows.end - rows.first);
    float width = (float)(padded ? s->x.kernel : columns.end - columns.first);
    bool clipped = rows.end - rows.first < s->y.kernel;
    for (int c = 0; c < CHANNELS; c++)
        sum[c] = (clipped ? sum[c] + 0.0f : sum[c]) / (height * width);
    return store(p, y, x, sum);
}

/* Tasks are numbered image, row of outputs, part of the channels. */
static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    const pqc_image *out = &j->step->output[0];
    unsigned flags = 0;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t row = i / j->parts, first = i % j->parts * CHANNELS;
        part p = {j, row / out->h, first, pqc_min(out->c - first, CHANNELS)};
        if (j->step->kind == PQC_STEP_MEAN)
            flags |= run_mean(&p);
        for (ptrdiff_t x = 0; x < out->w && j->step->kind != PQC_STEP_MEAN; x++)
            flags |= run_window(&p, row % out->h, x);
    }
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

unsigned pqc_average_step_run(const pqc_step *s, char *const *buffers)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    job j = {.step = s, .buffers = buffers, .parts = pqc_div_round_up(in->c, CHANNELS)};
    ptrdiff_t taps = s->kind == PQC_STEP_MEAN ? in->h * in->w : s->y.kernel * s->x.kernel;
    ptrdiff_t cost = out->n * out->h * out->w * out->c * pqc_min(taps, in->h * in->w);
    pqc_parallel_tasks(out->n * out->h * j.parts, cost, FLOATS_GRAIN, run_tasks, &j);
    return atomic_load(&j.flags);
}
