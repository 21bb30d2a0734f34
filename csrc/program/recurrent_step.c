/* LSTM and GRU layers over whole float32 sequences.  more[1]: the length of each sequence, an int32 in the place of a
 * float, or PQC_NOTHING. */
#include "lengths.h"
#include "step.h"

#include <string.h>

static bool is_plain(const pqc_image *i, ptrdiff_t n, ptrdiff_t h, ptrdiff_t w, ptrdiff_t c)
{
    return i->codes.content == PQC_FLOATS && !i->nchw && i->n == n && i->h == h && i->w == w &&
           i->c == c && i->codes.pixel == c * (ptrdiff_t)sizeof(float);
}

static bool is_nothing(const pqc_image *i)
{
    return i->codes.content == PQC_NOTHING;
}

static pqc_recurrent layer_of(const pqc_step *s)
{
    pqc_recurrent r = *s->recurrent;
    r.steps = s->input.h;
    r.batch = s->input.w;
    r.rows = r.steps * r.batch;
    r.y_direction = r.batch * r.hidden;
    r.y_row = r.hidden;
    return r;
}

static const char *prepare_recurrent(pqc_step *s)
{
    if (!s->recurrent)
        return "the weights of cells expected";
    pqc_recurrent r = layer_of(s);
    ptrdiff_t ahead = r.directions * pqc_cell_gates(r.cell) * r.hidden;
    int states = r.cell == PQC_LSTM ? 2 : 1;
    if (!is_plain(&s->input, 1, r.steps, r.batch, ahead))
        return "the gates of other cells";
    if (s->outputs != 1 + states ||
        !is_plain(&s->output[0], r.steps, r.directions, r.batch, r.hidden))
        return "the outputs of other cells";
    for (int i = 0; i < states; i++) {
        const pqc_image *first = i == 0 ? &s->residual : &s->more[0];
        if (!is_plain(&s->output[1 + i], 1, r.directions, r.batch, r.hidden) ||
            (!is_nothing(first) && !is_plain(first, 1, r.directions, r.batch, r.hidden)))
            return "the states of other cells";
    }
    if (!is_nothing(&s->more[1]) && !is_plain(&s->more[1], 1, 1, 1, r.batch))
        return "a length for each sequence expected";
    return states == 1 && !is_nothing(&s->more[0]) ? "more states than the cells have" : NULL;
}

static ptrdiff_t workspace_of(const pqc_step *s)
{
    pqc_recurrent r = layer_of(s);
    ptrdiff_t lengths = is_nothing(&s->more[1]) ? 0 : pqc_lengths_bytes(&r);
    return pqc_line_aligned(pqc_recurrent_workspace(&r)) + lengths;
}

static float *floats_at(const pqc_image *i, char *const *buffers)
{
    return pqc_image_pixels(i, buffers, 0, 0, 0).at;
}

/* The initial states are copied to where the final ones will be. */
static float *begin(const pqc_image *first, const pqc_image *last, char *const *buffers)
{
    float *state = floats_at(last, buffers);
    size_t bytes = (size_t)(last->h * last->w * last->c) * sizeof *state;
    if (is_nothing(first))
        memset(state, 0, bytes);
    else if (floats_at(first, buffers) != state)
        memcpy(state, floats_at(first, buffers), bytes);
    return state;
}

/* Runs sequences of different lengths; the states are already where they will end. */
static unsigned run_lengths(const pqc_step *s, pqc_recurrent *r, char *const *buffers)
{
    pqc_lengths l;
    ptrdiff_t all = r->steps;
    float *y = r->y, *h = r->h, *c = r->c;
    char *room = (char *)r->workspace + pqc_line_aligned(pqc_recurrent_workspace(r));
    const char *lengths = pqc_image_pixels(&s->more[1], buffers, 0, 0, 0).at;
    if (!pqc_lengths_begin(&l, r, lengths, room))
        return PQC_STEP_BAD_INDEX;
    pqc_lengths_gather(&l, r);
    unsigned flags = r->rows > 0 ? pqc_recurrent_run(r) : 0;
    pqc_lengths_scatter(&l, r, all, y, h, c);
    return flags;
}

static unsigned run_recurrent(const pqc_step *s, char *const *buffers)
{
    pqc_recurrent r = layer_of(s);
    r.ahead = floats_at(&s->input, buffers);
    r.y = floats_at(&s->output[0], buffers);
    r.h = begin(&s->residual, &s->output[1], buffers);
    r.c = r.cell == PQC_LSTM ? begin(&s->more[0], &s->output[2], buffers) : NULL;
    r.workspace = buffers[0] + s->workspace;
    return is_nothing(&s->more[1]) ? pqc_recurrent_run(&r) : run_lengths(s, &r, buffers);
}

const pqc_step_type pqc_recurrent_step = {
    .prepare = prepare_recurrent, .run = run_recurrent, .workspace = workspace_of};
