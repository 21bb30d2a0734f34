/* The output stage and elementwise chain behind a convolution's sums, and where the results go. */
#include "conv_tail.h"

#include "dispatch.h"

static int operands_of(const pqc_step *s)
{
    int count = 0;
    while (count < PQC_MAX_OPERANDS - 2 && s->more[count].codes.content != PQC_NOTHING)
        count++;
    return count;
}

static bool fits(ptrdiff_t size, ptrdiff_t of_output)
{
    return size == of_output || size == 1;
}

const char *pqc_tail_check(const pqc_step *s)
{
    const pqc_image *to = &s->output[0];
    int operands = operands_of(s);
    for (int i = operands; i < PQC_MAX_OPERANDS - 2; i++)
        if (s->more[i].codes.content != PQC_NOTHING)
            return "operands with a gap";
    for (int i = 0; i < operands; i++) {
        const pqc_image *from = &s->more[i];
        if (from->nchw || !fits(from->n, to->n) || !fits(from->h, to->h) || !fits(from->w, to->w) ||
            !fits(from->c, to->c))
            return "an operand that does not broadcast";
    }
    return pqc_chain_check(s->chain, s->chain_length, 1 + operands);
}

/* The next operation of a chain, if it is of this kind and only continues the previous result. */
static const pqc_chain_op *follows(const pqc_step *s, ptrdiff_t done, pqc_chain_kind kind)
{
    if (done >= s->chain_length || s->chain[done].kind != kind)
        return NULL;
    const pqc_chain_op *o = s->chain + done;
    return o->a == (done > 0 ? o[-1].to : 0) ? o : NULL;
}

/* Folds a multiplication and addition of one number each, and clamps, into the output stage. */
void pqc_tail_fold(pqc_step *s)
{
    const pqc_chain_op *factor = follows(s, 0, PQC_CHAIN_MUL_NUMBER);
    const pqc_chain_op *offset = follows(s, 1, PQC_CHAIN_ADD_NUMBER);
    const pqc_chain_op *least = follows(s, 2, PQC_CHAIN_AT_LEAST);
    const pqc_chain_op *most = follows(s, least ? 3 : 2, PQC_CHAIN_AT_MOST);
    bool plain = s->between.content == PQC_NOTHING && s->residual.codes.content == PQC_NOTHING &&
                 s->second_low == -INFINITY && s->second_high == INFINITY;
    if (!plain || !factor || !offset || s->chain_length != 2 + (least != NULL) + (most != NULL))
        return;
    s->affine = (pqc_linear_map){true, factor->number, offset->number};
    s->second_low = least ? least->number : -INFINITY;
    s->second_high = most ? most->number : INFINITY;
    s->chain_length = 0;
}

static bool is_without_columns(const pqc_image *i)
{
    return i->codes.content == PQC_NOTHING || i->left + i->right == 0;
}

/* A kernel for finite sums that only become bytes by way of GELU or SiLU; or NULL. */
static pqc_gate_u8_fn *gate_of(const pqc_step *s)
{
    enum { PLAIN = PQC_NO_FIRST_CLAMP | PQC_NO_SECOND_CLAMP | PQC_NEVER_NAN };
    bool alone = s->chain_length == 1 && s->chain[0].a == 0 && s->outputs == 1 && !s->hard_swish &&
                 !s->affine.there && s->between.content == PQC_NOTHING &&
                 s->residual.codes.content == PQC_NOTHING && (s->known & PLAIN) == PLAIN;
    return alone && pqc_gate_u8_takes(s->chain[0].kind, &s->output[0].codes) ? pqc.gate_u8 : NULL;
}

static bool rows_follow_on(const pqc_step *s, bool by_chain)
{
    bool follow = !by_chain && is_without_columns(&s->residual);
    for (int i = 0; i < s->outputs; i++)
        follow &= is_without_columns(&s->output[i]);
    return follow;
}

pqc_output pqc_tail_output(const pqc_step *s)
{
    const pqc_weights *w = s->weights;
    pqc_output f = {w->scale,
                    w->bias,
                    s->low,
                    s->high,
                    s->second_low,
                    s->second_high,
                    .hard_swish = s->hard_swish,
                    .affine = s->affine,
                    .known = s->known,
                    .between = s->between,
                    .sum = s->sum,
                    .residual = s->residual.codes,
                    .outputs = s->chain_length ? 1 : s->outputs};
    f.output[0].content = PQC_FLOATS;
    for (int i = 0; i < s->outputs && !s->chain_length; i++)
        f.output[i] = s->output[i].codes;
    return f;
}

void pqc_tail_begin(pqc_tail *t, const pqc_step *s, char *const *buffers)
{
    t->step = s;
    t->buffers = buffers;
    t->operands = 0;
    if (s->kind == PQC_STEP_CONV) {
        t->to = pqc_tail_output(s);
        t->gate = s->chain_length ? gate_of(s) : NULL;
        t->together = rows_follow_on(s, s->chain_length && !t->gate);
        if (!s->chain_length)
            return;
    }
    t->operands = operands_of(s);
    for (int i = 0; i < t->operands; i++)
        t->operand[i] = pqc_view_of(&s->more[i], &s->output[0], buffers);
    for (int i = 0; i < s->outputs; i++)
        t->output[i] = pqc_view_of(&s->output[i], &s->output[0], buffers);
    pqc_registers_begin(&t->registers);
}

static unsigned run_block(pqc_tail *t, const pqc_chain_block *b, float *floats)
{
    const pqc_step *s = t->step;
    unsigned flags = 0;
    t->registers.values[0] = floats;
    for (int i = 0; i < t->operands; i++)
        pqc_chain_load(&t->operand[i], b, 1 + i, &t->registers);
    const float *y =
        pqc_chain_run(s->chain, s->chain_length, t->registers.values, b->pixels * b->channels);
    for (int i = 0; i < s->outputs; i++)
        flags |= pqc_chain_store(&t->output[i], b, y);
    return flags;
}

unsigned pqc_tail_chain(pqc_tail *t, const pqc_results *r, float *floats)
{
    unsigned flags = 0;
    pqc_chain_block b = {r->n, r->y, r->x, r->channel, 0, r->channels};
    ptrdiff_t end = r->x + r->pixels, most = PQC_BLOCK / r->channels;
    for (; b.x < end; b.x += b.pixels) {
        b.pixels = pqc_min(end - b.x, most);
        flags |= run_block(t, &b, floats);
        floats += b.pixels * r->channels;
    }
    return flags;
}

/* The address of the first channel of the first pixel. */
static char *place_of(const pqc_tail *t, const pqc_image *i, const pqc_results *r)
{
    return t->buffers[i->buffer] + i->offset + pqc_image_at(i, r->n, r->y, r->x) +
           r->channel * pqc_content_size(i->codes.content);
}

unsigned pqc_tail_finish(pqc_tail *t, const pqc_results *r, const int32_t *acc, ptrdiff_t ld)
{
    const pqc_step *s = t->step;
    pqc_output *f = &t->to;
    f->scale = s->weights->scale + r->channel;
    f->bias = s->weights->bias + r->channel;
    if (s->residual.codes.content != PQC_NOTHING)
        f->residual.at = place_of(t, &s->residual, r);
    if (t->gate) {
        f->output[0] = s->output[0].codes;
        f->output[0].at = place_of(t, &s->output[0], r);
        t->gate(s->chain[0].kind, acc, ld, r->pixels, r->channels, f);
        return 0;
    }
    if (!s->chain_length) {
        for (int i = 0; i < s->outputs; i++)
            f->output[i].at = place_of(t, &s->output[i], r);
        return pqc.finish_nhwc(acc, ld, r->pixels, r->channels, f);
    }
    f->output[0].at = t->floats;
    f->output[0].pixel = r->channels * (ptrdiff_t)sizeof *t->floats;
    unsigned flags = pqc.finish_nhwc(acc, ld, r->pixels, r->channels, f);
    return flags | pqc_tail_chain(t, r, t->floats);
}
