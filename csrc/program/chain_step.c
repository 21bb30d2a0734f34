/* Elementwise chains over images and arrays, in one pass over memory.  An operand may be broadcast along any axis:
 * images, rows, pixels or channels; or be an image enlarged by whole numbers, whose pixels are repeated as they are read. */
#include "chain_block.h"
#include "parallel.h"
#include "step.h"

#include <stdatomic.h>

enum { CHAIN_GRAIN = 1 << 15 };

typedef struct {
    const pqc_step *step;
    int operands;
    pqc_view operand[PQC_MAX_OPERANDS], output[PQC_MAX_OUTPUTS];
    ptrdiff_t n, h, w, c, pixels; /* pixels per block */
    atomic_uint flags;
} job;

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

static bool is_fraction(ptrdiff_t size, ptrdiff_t of_output)
{
    return size <= of_output && of_output % size == 0;
}

static const char *prepare_chain(pqc_step *s)
{
    const pqc_image *to = &s->output[0];
    int operands = operands_of(s);
    for (int i = operands; i < PQC_MAX_OPERANDS; i++)
        if (operand_of(s, i)->codes.content != PQC_NOTHING)
            return "operands with a gap";
    for (int i = 0; i < operands; i++) {
        const pqc_image *from = operand_of(s, i);
        if (from->nchw || !fits(from->n, to->n) || !is_fraction(from->h, to->h) ||
            !is_fraction(from->w, to->w) || !fits(from->c, to->c))
            return "an operand that does not broadcast";
    }
    for (int i = 0; i < s->outputs; i++) {
        const pqc_image *o = &s->output[i];
        if (o->nchw || o->n != to->n || o->h != to->h || o->w != to->w || o->c != to->c)
            return "outputs of one shape expected";
    }
    return pqc_chain_check(s->chain, s->chain_length, operands);
}

/* True if rows are contiguous, or are all the same row. */
static bool rows_join(const pqc_view *v, ptrdiff_t w)
{
    return v->y == w * v->x && v->rows == 1 && v->columns == 1;
}

static bool images_join(const pqc_view *v, ptrdiff_t h)
{
    return v->n * v->rows == h * v->y;
}

typedef bool join_fn(const pqc_view *, ptrdiff_t);

static bool all_join(const job *j, join_fn *join, ptrdiff_t size)
{
    bool all = true;
    for (int i = 0; i < j->operands; i++)
        all &= join(&j->operand[i], size);
    for (int i = 0; i < j->step->outputs; i++)
        all &= join(&j->output[i], size);
    return all;
}

/* Drops an axis of length 1: rows take the place of pixels (if `pixels`), and images that of rows. */
static void shift(job *j, bool pixels)
{
    pqc_view *views[] = {j->operand, j->output};
    int counts[] = {j->operands, j->step->outputs};
    for (int k = 0; k < 2; k++)
        for (pqc_view *v = views[k]; v < views[k] + counts[k]; v++) {
            v->x = pixels ? v->y : v->x;
            v->columns = pixels ? v->rows : v->columns;
            v->y = v->n;
            v->rows = 1;
            v->n = 0;
        }
    j->w = pixels ? j->h : j->w;
    j->h = j->n;
    j->n = 1;
}

/* Merges axes: images without borders become one row, and so do images of one pixel. */
static void join_axes(job *j)
{
    while (j->w == 1 && j->h * j->n > 1)
        shift(j, true);
    if (j->h == 1 && j->n > 1)
        shift(j, false);
    if (j->n > 1 && all_join(j, images_join, j->h)) {
        j->h *= j->n;
        j->n = 1;
    }
    if (j->h > 1 && all_join(j, rows_join, j->w)) {
        j->w *= j->h;
        j->h = 1;
    }
}

static unsigned run_block(const job *j, const pqc_chain_block *b, pqc_registers *r)
{
    const pqc_step *s = j->step;
    unsigned flags = 0;
    for (int i = 0; i < j->operands; i++)
        pqc_chain_load(&j->operand[i], b, i, r);
    const float *y = pqc_chain_run(s->chain, s->chain_length, r->values, b->pixels * b->channels);
    for (int i = 0; i < s->outputs; i++)
        flags |= pqc_chain_store(&j->output[i], b, y);
    return flags;
}

/* Tasks are numbered (image, row, block of pixels). */
static void run_blocks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    pqc_registers r;
    unsigned flags = 0;
    ptrdiff_t blocks = pqc_div_round_up(j->w, j->pixels);
    pqc_registers_begin(&r);
    for (ptrdiff_t task = begin; task < end; task++) {
        pqc_chain_block b = {.n = task / blocks / j->h, .y = task / blocks % j->h};
        b.x = task % blocks * j->pixels;
        b.pixels = pqc_min(j->pixels, j->w - b.x);
        for (; b.first < j->c; b.first += PQC_BLOCK) {
            b.channels = pqc_min(j->c - b.first, PQC_BLOCK);
            flags |= run_block(j, &b, &r);
        }
    }
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

static unsigned run_chain(const pqc_step *s, char *const *buffers)
{
    const pqc_image *to = &s->output[0];
    job j = {.step = s, .operands = operands_of(s), .n = to->n, .h = to->h, .w = to->w, .c = to->c};
    for (int i = 0; i < j.operands; i++)
        j.operand[i] = pqc_view_of(operand_of(s, i), to, buffers);
    for (int i = 0; i < s->outputs; i++)
        j.output[i] = pqc_view_of(&s->output[i], to, buffers);
    join_axes(&j);
    j.pixels = pqc_max(PQC_BLOCK / j.c, 1);
    ptrdiff_t tasks = j.n * j.h * pqc_div_round_up(j.w, j.pixels);
    pqc_parallel_tasks(tasks, j.n * j.h * j.w * j.c * (s->chain_length + 2), CHAIN_GRAIN,
                       run_blocks, &j);
    return atomic_load(&j.flags);
}

const pqc_step_type pqc_chain_step = {.prepare = prepare_chain, .run = run_chain};
