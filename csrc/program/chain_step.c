/* Elementwise chains over images and arrays, one pass over memory.  An operand may have one pixel, one channel, one row or one
 * image for all. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum { CHAIN_GRAIN = 1 << 15, MAX_CHANNELS = 1 << 24 };

/* Bytes from an element to the next along each axis; 0 along those on which all share one. */
typedef struct {
    pqc_pixels form;
    char *base;
    ptrdiff_t n, y, x, c;
} view;

typedef struct {
    const pqc_step *step;
    int operands;
    view operand[PQC_MAX_OPERANDS], output[PQC_MAX_OUTPUTS];
    ptrdiff_t n, h, w, c, pixels; /* `pixels` of a block */
    atomic_uint flags;
} job;

/* What one thread keeps: registers, and which operand without pixels of its own is loaded for what. */
typedef struct {
    float space[PQC_MAX_REGISTERS][PQC_BLOCK];
    float *values[PQC_MAX_REGISTERS];
    ptrdiff_t loaded[PQC_MAX_OPERANDS]; /* image and first channel, or -1 */
    ptrdiff_t count[PQC_MAX_OPERANDS];
} registers;

typedef struct {
    ptrdiff_t n, y, x, first, pixels, channels;
} block;

static const pqc_image *operand_of(const pqc_step *s, int i)
{
    return i == 0 ? &s->input : i == 1 ? &s->residual : &s->more[i - 2];
}

static int operands_of(const pqc_step *s)
{
    int count = 0;
    while (count < PQC_MAX_OPERANDS && operand_of(s, count)->codes.content != PQC_NOTHING)
        count++;
    return count;
}

static bool fits(ptrdiff_t size, ptrdiff_t of_output)
{
    return size == of_output || size == 1;
}

const char *pqc_chain_step_prepare(const pqc_step *s)
{
    const pqc_image *to = &s->output[0];
    int operands = operands_of(s);
    for (int i = operands; i < PQC_MAX_OPERANDS; i++)
        if (operand_of(s, i)->codes.content != PQC_NOTHING)
            return "operands with a gap";
    for (int i = 0; i < operands; i++) {
        const pqc_image *from = operand_of(s, i);
        if (from->nchw || !fits(from->n, to->n) || !fits(from->h, to->h) || !fits(from->w, to->w) ||
            !fits(from->c, to->c))
            return "an operand that does not broadcast";
    }
    for (int i = 0; i < s->outputs; i++) {
        const pqc_image *o = &s->output[i];
        if (o->nchw || o->n != to->n || o->h != to->h || o->w != to->w || o->c != to->c)
            return "outputs of one shape expected";
    }
    return pqc_chain_check(s->chain, s->chain_length, operands);
}

static view view_of(const pqc_image *i, char *const *buffers)
{
    view v = {.form = i->codes, .base = pqc_image_pixels(i, buffers, 0, 0, 0).at};
    v.n = i->n > 1 ? pqc_image_size(i) : 0;
    v.y = i->h > 1 ? pqc_image_row(i) : 0;
    v.x = i->w > 1 ? i->codes.pixel : 0;
    v.c = i->c > 1 ? pqc_content_size(i->codes.content) : 0;
    return v;
}

/* Whether rows follow each other without a gap, or all are the same. */
static bool rows_join(const view *v, ptrdiff_t w)
{
    return v->y == w * v->x;
}

static bool images_join(const view *v, ptrdiff_t h)
{
    return v->n == h * v->y;
}

typedef bool join_fn(const view *, ptrdiff_t);

static bool all_join(const job *j, join_fn *join, ptrdiff_t size)
{
    bool all = true;
    for (int i = 0; i < j->operands; i++)
        all &= join(&j->operand[i], size);
    for (int i = 0; i < j->step->outputs; i++)
        all &= join(&j->output[i], size);
    return all;
}

/* Images without borders are one row. */
static void join_axes(job *j)
{
    if (j->n > 1 && all_join(j, images_join, j->h)) {
        j->h *= j->n;
        j->n = 1;
    }
    if (j->h > 1 && all_join(j, rows_join, j->w)) {
        j->w *= j->h;
        j->h = 1;
    }
}

static char *at(const view *v, const block *b)
{
    return v->base + b->n * v->n + b->y * v->y + b->x * v->x + b->first * v->c;
}

static bool is_contiguous(const view *v, const block *b)
{
    ptrdiff_t size = pqc_content_size(v->form.content);
    return (v->c == size || b->channels == 1) && (v->x == b->channels * size || b->pixels == 1);
}

static void repeat(float *x, ptrdiff_t length, ptrdiff_t times)
{
    for (ptrdiff_t i = 1; i < times; i++)
        memcpy(x + i * length, x, (size_t)length * sizeof *x);
}

/* A pixel's channels, or its one number for all. */
static void load_pixel(const view *v, const char *from, float *x, ptrdiff_t channels)
{
    pqc.decode_f32(&v->form, from, x, v->c ? channels : 1);
    for (ptrdiff_t c = 1; !v->c && c < channels; c++)
        x[c] = x[0];
}

static void load(const view *v, const block *b, int number, registers *r)
{
    const char *from = at(v, b);
    float *x = r->space[number];
    bool shared = v->x == 0 && v->y == 0;
    ptrdiff_t count = b->pixels * b->channels, key = (v->n ? b->n : 0) * MAX_CHANNELS + b->first;
    if (!shared && is_contiguous(v, b)) {
        bool there = v->form.content == PQC_FLOATS;
        r->values[number] = there ? (float *)(void *)at(v, b) : x;
        if (!there)
            pqc.decode_f32(&v->form, from, x, count);
        return;
    }
    if (shared && r->loaded[number] == key && r->count[number] >= count)
        return;
    if (v->x == 0) {
        load_pixel(v, from, x, b->channels);
        repeat(x, b->channels, b->pixels);
    }
    for (ptrdiff_t p = 0; v->x != 0 && p < b->pixels; p++)
        load_pixel(v, from + p * v->x, x + p * b->channels, b->channels);
    r->values[number] = x;
    r->loaded[number] = shared ? key : -1;
    r->count[number] = count;
}

static unsigned store(const view *v, const block *b, const float *x)
{
    char *to = at(v, b);
    unsigned flags = 0;
    if (is_contiguous(v, b))
        return pqc.encode_f32(&v->form, x, to, b->pixels * b->channels);
    for (ptrdiff_t p = 0; p < b->pixels; p++)
        flags |= pqc.encode_f32(&v->form, x + p * b->channels, to + p * v->x, b->channels);
    return flags;
}

static unsigned run_block(const job *j, const block *b, registers *r)
{
    const pqc_step *s = j->step;
    unsigned flags = 0;
    for (int i = 0; i < j->operands; i++)
        load(&j->operand[i], b, i, r);
    const float *y = pqc_chain_run(s->chain, s->chain_length, r->values, b->pixels * b->channels);
    for (int i = 0; i < s->outputs; i++)
        flags |= store(&j->output[i], b, y);
    return flags;
}

/* Tasks are numbered image, row, block of pixels. */
static void run_blocks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    registers r;
    unsigned flags = 0;
    ptrdiff_t blocks = pqc_div_round_up(j->w, j->pixels);
    for (int i = 0; i < PQC_MAX_REGISTERS; i++)
        r.values[i] = r.space[i];
    for (int i = 0; i < PQC_MAX_OPERANDS; i++)
        r.loaded[i] = -1;
    for (ptrdiff_t task = begin; task < end; task++) {
        block b = {.n = task / blocks / j->h, .y = task / blocks % j->h};
        b.x = task % blocks * j->pixels;
        b.pixels = pqc_min(j->pixels, j->w - b.x);
        for (; b.first < j->c; b.first += PQC_BLOCK) {
            b.channels = pqc_min(j->c - b.first, PQC_BLOCK);
            flags |= run_block(j, &b, &r);
        }
    }
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

unsigned pqc_chain_step_run(const pqc_step *s, char *const *buffers)
{
    const pqc_image *to = &s->output[0];
    job j = {.step = s, .operands = operands_of(s), .n = to->n, .h = to->h, .w = to->w, .c = to->c};
    for (int i = 0; i < j.operands; i++)
        j.operand[i] = view_of(operand_of(s, i), buffers);
    for (int i = 0; i < s->outputs; i++)
        j.output[i] = view_of(&s->output[i], buffers);
    join_axes(&j);
    j.pixels = pqc_max(PQC_BLOCK / j.c, 1);
    ptrdiff_t tasks = j.n * j.h * pqc_div_round_up(j.w, j.pixels);
    pqc_parallel_tasks(tasks, j.n * j.h * j.w * j.c * (s->chain_length + 2), CHAIN_GRAIN,
                       run_blocks, &j);
    return atomic_load(&j.flags);
}
