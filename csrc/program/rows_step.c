/* Softmax and layer normalisation of rows: a pixel's channels. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>

enum { GRAIN = 1 << 13 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
    pqc_layer_norm norm;
    atomic_uint flags;
} job;

static bool is_vector(const pqc_image *i, ptrdiff_t n)
{
    return i->codes.content == PQC_NOTHING || (i->codes.content == PQC_FLOATS && !i->nchw &&
                                               i->n == 1 && i->h == 1 && i->w == 1 && i->c == n);
}

static bool is_plain(const pqc_image *i)
{
    return !i->nchw && i->n == 1 && i->h == 1;
}

static const char *prepare_rows(pqc_step *s)
{
    const pqc_image *in = &s->input;
    if (!is_plain(in) || in->codes.content != PQC_FLOATS)
        return "rows of floats expected";
    for (int i = 0; i < s->outputs; i++) {
        const pqc_image *out = &s->output[i];
        if (!is_plain(out) || out->w != in->w || out->c != in->c)
            return "rows as many and as long expected";
        if (out->codes.content != PQC_FLOATS && in->c > PQC_MAX_ROW)
            return "codes of rows that are too long";
    }
    if (!is_vector(&s->residual, in->c) || !is_vector(&s->more[0], in->c))
        return "a weight and a bias for each element of a row expected";
    return NULL;
}

/* The first output of floats takes the results, if there is one; then the others are made of it. */
static const pqc_image *floats_of(const pqc_step *s)
{
    for (int i = 0; i < s->outputs; i++)
        if (s->output[i].codes.content == PQC_FLOATS)
            return &s->output[i];
    return NULL;
}

static unsigned run_row(const job *j, ptrdiff_t row, float *scratch)
{
    const pqc_step *s = j->step;
    const pqc_image *floats = floats_of(s);
    const float *x = pqc_image_pixels(&s->input, j->buffers, 0, 0, row).at;
    float *y = floats ? pqc_image_pixels(floats, j->buffers, 0, 0, row).at : scratch;
    unsigned flags = 0;
    if (s->kind == PQC_STEP_SOFTMAX)
        pqc.softmax_f32(x, y, 1, s->input.c);
    else
        pqc.layer_norm_f32(x, y, s->input.c, &j->norm);
    for (int i = 0; i < s->outputs; i++)
        if (&s->output[i] != floats) {
            pqc_pixels to = pqc_image_pixels(&s->output[i], j->buffers, 0, 0, row);
            flags |= pqc.encode_f32(&to, y, to.at, s->input.c);
        }
    return flags;
}

/* Whether rows of floats become rows of floats that follow each other, and nothing else. */
static bool follows_on(const pqc_step *s)
{
    ptrdiff_t row = s->input.c * (ptrdiff_t)sizeof(float);
    return s->outputs == 1 && s->output[0].codes.content == PQC_FLOATS &&
           s->input.codes.pixel == row && s->output[0].codes.pixel == row;
}

static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    float scratch[PQC_MAX_ROW];
    unsigned flags = 0;
    if (j->step->kind == PQC_STEP_SOFTMAX && follows_on(j->step)) {
        pqc.softmax_f32(pqc_image_pixels(&j->step->input, j->buffers, 0, 0, begin).at,
                        pqc_image_pixels(&j->step->output[0], j->buffers, 0, 0, begin).at,
                        end - begin, j->step->input.c);
        return;
    }
    for (ptrdiff_t row = begin; row < end; row++)
        flags |= run_row(j, row, scratch);
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

static const float *vector_at(const pqc_image *i, char *const *buffers)
{
    return i->codes.content == PQC_NOTHING ? NULL : pqc_image_pixels(i, buffers, 0, 0, 0).at;
}

static unsigned run_rows(const pqc_step *s, char *const *buffers)
{
    job j = {.step = s, .buffers = buffers};
    j.norm = (pqc_layer_norm){vector_at(&s->residual, buffers), vector_at(&s->more[0], buffers),
                              s->epsilon};
    pqc_parallel_tasks(s->input.w, s->input.w * s->input.c, GRAIN, run_tasks, &j);
    return atomic_load(&j.flags);
}

const pqc_step_type pqc_rows_step = {.prepare = prepare_rows, .run = run_rows};
