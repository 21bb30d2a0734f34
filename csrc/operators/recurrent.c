/* LSTM and GRU layers on float32 sequences: per step the state's product, as integers or floats, then the cell's
 * kernel. */
#include "recurrent.h"

#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum { GRAIN = 1 << 16, NR = PQC_PRODUCT_NR, MIN_ROWS = 4 };

ptrdiff_t pqc_float_panels(ptrdiff_t out, ptrdiff_t in)
{
    return pqc_div_round_up(out, NR) * NR * in;
}

void pqc_pack_float_panels(const float *weight, ptrdiff_t out, ptrdiff_t in, float *panels)
{
    for (ptrdiff_t panel = 0; panel < out; panel += NR)
        for (ptrdiff_t k = 0; k < in; k++)
            for (ptrdiff_t c = panel; c < panel + NR; c++)
                *panels++ = c < out ? weight[c * in + k] : 0.0f;
}

/* Scratch memory of one direction. */
typedef struct {
    float *sums[PQC_STATE_PRODUCTS]; /* products of the step, a row per sequence */
    /* states; for PQC_LSTM_PROJECTED `reset` holds the states before the projection */
    float *reset, *z;
    void *linear;
} scratch;

static ptrdiff_t sums_row(const pqc_state_product *p)
{
    return p->integers ? p->out : pqc_round_up(p->out, NR);
}

/* For one row as well: a batch may go to AMX tiles, which need another amount of memory. */
static ptrdiff_t linear_bytes(const pqc_state_product *p, ptrdiff_t batch)
{
    return p->integers ? pqc_line_aligned(pqc_max(pqc_linear_workspace(p->integers, 1),
                                                  pqc_linear_workspace(p->integers, batch)))
                       : 0;
}

/* Lays out the memory of one direction from `at`; returns its bytes. */
static ptrdiff_t lay_out(const pqc_recurrent *r, ptrdiff_t d, char *at, scratch *s)
{
    ptrdiff_t bytes = 0, linear = 0;
    *s = (scratch){0};
    for (int i = 0; i < PQC_STATE_PRODUCTS; i++) {
        const pqc_state_product *p = &r->product[d][i];
        if (p->out == 0)
            continue;
        s->sums[i] = (float *)(void *)(at + bytes);
        bytes += pqc_line_aligned(r->batch * sums_row(p) * (ptrdiff_t)sizeof(float));
        linear = pqc_max(linear, linear_bytes(p, r->batch));
    }
    if (pqc_cell_products(r->cell) == 2) {
        ptrdiff_t state = pqc_line_aligned(r->batch * r->hidden * (ptrdiff_t)sizeof(float));
        s->reset = (float *)(void *)(at + bytes);
        s->z = (float *)(void *)(at + bytes + state);
        bytes += 2 * state;
    }
    s->linear = at + bytes;
    return bytes + linear;
}

ptrdiff_t pqc_recurrent_workspace(const pqc_recurrent *r)
{
    char nothing;
    scratch s;
    ptrdiff_t bytes = 0;
    for (ptrdiff_t d = 0; d < r->directions; d++)
        bytes += lay_out(r, d, &nothing, &s);
    return bytes;
}

typedef struct {
    const pqc_state_product *product;
    const float *x;
    float *y;
    ptrdiff_t rows, y_row;
} float_job;

static void run_panels(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const float_job *j = context;
    const pqc_state_product *p = j->product;
    for (ptrdiff_t panel = begin; panel < end; panel++) {
        float *y = j->y + panel * NR;
        pqc.product_f32(&(pqc_product){.x = j->x,
                                       .w = p->floats + panel * NR * p->in,
                                       .y = y,
                                       .x_row = p->in,
                                       .y_row = j->y_row,
                                       .rows = j->rows,
                                       .k = p->in});
        for (ptrdiff_t r = 0; r < j->rows && p->bias; r++)
            for (ptrdiff_t c = 0; c < pqc_min(p->out - panel * NR, NR); c++)
                y[r * j->y_row + c] += p->bias[panel * NR + c];
    }
}

static unsigned multiply(const pqc_state_product *p, const float *x, ptrdiff_t rows, float *y,
                         const scratch *s, bool backwards)
{
    if (p->integers)
        return pqc_linear_run(p->integers, &(pqc_conv_call){.x = x,
                                                            .bias = p->bias,
                                                            .y = y,
                                                            .batch = rows,
                                                            .q = p->q,
                                                            .div = p->div,
                                                            .backwards = backwards,
                                                            .workspace = s->linear});
    float_job j = {p, x, y, rows, sums_row(p)};
    ptrdiff_t panels = pqc_div_round_up(p->out, NR);
    pqc_parallel_tasks(panels, pqc_max(rows, MIN_ROWS) * panels * NR * p->in, GRAIN, run_panels,
                       &j);
    return 0;
}

/* What one step of one direction reads and writes. */
typedef struct {
    const pqc_recurrent *r;
    const scratch *s;
    ptrdiff_t first, rows; /* of the step */
    const float *ahead;    /* of the direction */
    float *h, *c, *y;
    bool backwards;
} step;

static ptrdiff_t ahead_row(const pqc_recurrent *r)
{
    return r->directions * pqc_cell_gates(r->cell) * r->hidden;
}

static unsigned reset_first(const step *t, const pqc_state_product *p)
{
    const pqc_recurrent *r = t->r;
    ptrdiff_t n = r->hidden;
    for (ptrdiff_t i = 0; i < t->rows; i++)
        pqc.gru_gates_f32(t->ahead + i * ahead_row(r), t->s->sums[0] + i * sums_row(p),
                          t->h + i * n, t->s->reset + i * n, t->s->z + i * n, n);
    unsigned flags = multiply(&p[1], t->s->reset, t->rows, t->s->sums[1], t->s, t->backwards);
    for (ptrdiff_t i = 0; i < t->rows; i++)
        pqc.gru_finish_f32(t->ahead + i * ahead_row(r) + 2 * n, t->s->sums[1] + i * sums_row(&p[1]),
                           t->s->z + i * n, t->h + i * n, n);
    return flags;
}

static unsigned projected(const step *t, const pqc_state_product *p)
{
    const pqc_recurrent *r = t->r;
    ptrdiff_t n = r->hidden;
    for (ptrdiff_t i = 0; i < t->rows; i++)
        pqc.lstm_f32(t->ahead + i * ahead_row(r), t->s->sums[0] + i * sums_row(p), t->c + i * n,
                     t->s->reset + i * n, n);
    unsigned flags = multiply(&p[1], t->s->reset, t->rows, t->s->sums[1], t->s, t->backwards);
    for (ptrdiff_t i = 0; i < t->rows; i++)
        memcpy(t->h + i * r->state, t->s->sums[1] + i * sums_row(&p[1]),
               (size_t)r->state * sizeof(float));
    return flags;
}

static unsigned run_step(const step *t, const pqc_state_product *p)
{
    const pqc_recurrent *r = t->r;
    ptrdiff_t n = r->hidden;
    unsigned flags = multiply(p, t->h, t->rows, t->s->sums[0], t->s, t->backwards);
    if (r->cell == PQC_GRU_RESET_FIRST)
        flags |= reset_first(t, p);
    if (r->cell == PQC_LSTM_PROJECTED)
        flags |= projected(t, p);
    for (ptrdiff_t i = 0; i < t->rows; i++) {
        const float *x = t->ahead + i * ahead_row(r), *u = t->s->sums[0] + i * sums_row(p);
        if (r->cell == PQC_LSTM)
            pqc.lstm_f32(x, u, t->c + i * n, t->h + i * n, n);
        else if (r->cell == PQC_GRU)
            pqc.gru_f32(x, u, t->h + i * n, n);
        memcpy(t->y + i * r->y_row, t->h + i * r->state, (size_t)r->state * sizeof(float));
    }
    return flags;
}

static unsigned run_direction(const pqc_recurrent *r, ptrdiff_t d, const scratch *s)
{
    ptrdiff_t first = 0;
    bool reverse = d == 1 || r->reverse;
    unsigned flags = 0;
    for (ptrdiff_t i = 0; i < r->steps && !flags; i++) {
        ptrdiff_t at = reverse ? r->steps - 1 - i : i;
        ptrdiff_t rows = r->sizes ? (ptrdiff_t)r->sizes[at] : r->batch;
        if (reverse)
            first = i == 0 ? r->rows - rows : first - rows;
        step t = {.r = r, .s = s, .first = first, .rows = rows, .backwards = i % 2 != 0};
        t.ahead = r->ahead + first * ahead_row(r) + d * (ahead_row(r) / r->directions);
        t.h = r->h + d * r->batch * r->state;
        t.c = r->c ? r->c + d * r->batch * r->hidden : NULL;
        t.y = r->y + first * r->directions * r->state + d * r->y_direction;
        flags = run_step(&t, r->product[d]);
        first += reverse ? 0 : rows;
    }
    return flags;
}

typedef struct {
    const pqc_recurrent *r;
    scratch scratch[PQC_MAX_DIRECTIONS];
    atomic_uint flags;
} job;

static void run_directions(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    for (ptrdiff_t d = begin; d < end; d++)
        atomic_fetch_or_explicit(&j->flags, run_direction(j->r, d, &j->scratch[d]),
                                 memory_order_relaxed);
}

unsigned pqc_recurrent_run(const pqc_recurrent *r)
{
    job j = {.r = r};
    char *at = r->workspace;
    for (ptrdiff_t d = 0; d < r->directions; d++)
        at += lay_out(r, d, at, &j.scratch[d]);
    pqc_parallel_tasks(r->directions, r->rows * ahead_row(r) * r->hidden, GRAIN, run_directions,
                       &j);
    return atomic_load(&j.flags);
}
