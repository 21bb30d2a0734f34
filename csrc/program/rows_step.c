/* Softmax and layer normalisation of float32 rows, the channels of a pixel. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"
#include "rows.h"

#include <stdatomic.h>

enum { GRAIN = 1 << 13, SCRATCH = 2 * PQC_MAX_ROW, SIDE_BY_SIDE = 8 /* rows, in rows_f32 */ };

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

/* The first output of floats receives the results, if there is one; the other outputs are made from it. */
static const pqc_image *floats_of(const pqc_step *s)
{
    for (int i = 0; i < s->outputs; i++)
        if (s->output[i].codes.content == PQC_FLOATS)
            return &s->output[i];
    return NULL;
}

/* Applies the function to `rows` rows from `row`, which are contiguous in the input, as are their results. */
static void run_function(const job *j, ptrdiff_t row, ptrdiff_t rows, float *y)
{
    const pqc_step *s = j->step;
    const float *x = pqc_image_pixels(&s->input, j->buffers, 0, 0, row).at;
    if (s->kind == PQC_STEP_SOFTMAX)
        pqc.softmax_f32(x, y, rows, s->input.c);
    else if (s->kind == PQC_STEP_LOG_SOFTMAX)
        for (ptrdiff_t i = 0; i < rows; i++)
            pqc_log_softmax_row(x + i * s->input.c, y + i * s->input.c, s->input.c);
    else
        pqc.layer_norm_f32(x, y, rows, s->input.c, &j->norm);
}

static bool follows_on(const pqc_image *i)
{
    return i->codes.pixel == i->c * pqc_content_size(i->codes.content);
}

static unsigned encode_rows(const job *j, const pqc_image *to, ptrdiff_t row, ptrdiff_t rows,
                            const float *y)
{
    ptrdiff_t together = follows_on(to) ? rows : 1;
    unsigned flags = 0;
    for (ptrdiff_t i = 0; i < rows; i += together) {
        pqc_pixels codes = pqc_image_pixels(to, j->buffers, 0, 0, row + i);
        flags |= pqc.encode_f32(&codes, y + i * to->c, codes.at, together * to->c);
    }
    return flags;
}

/* Several rows at a time, so that their results are still in L1 when they become codes. */
static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    const pqc_step *s = j->step;
    const pqc_image *floats = floats_of(s);
    float scratch[SCRATCH];
    ptrdiff_t most = pqc_max(SCRATCH / s->input.c, 1), rows;
    unsigned flags = 0;
    if (!follows_on(&s->input) || (floats && !follows_on(floats)))
        most = 1;
    else if (floats && s->outputs == 1)
        most = end - begin;
    else if (most > SIDE_BY_SIDE)
        most -= most % SIDE_BY_SIDE;
    for (ptrdiff_t row = begin; row < end; row += rows) {
        rows = pqc_min(end - row, most);
        float *y = floats ? pqc_image_pixels(floats, j->buffers, 0, 0, row).at : scratch;
        run_function(j, row, rows, y);
        for (int i = 0; i < s->outputs; i++)
            if (&s->output[i] != floats)
                flags |= encode_rows(j, &s->output[i], row, rows, y);
    }
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
