/* Batched float32 matrix products by pqc.gemm_f32: packs panels of b and splits the work by matrix, panel and rows. */
#include "matmul.h"

#include "dispatch.h"
#include "parallel.h"

#include <string.h>

/* DEPTH: rows of a panel packed at a time, 32 KB.  GRAIN: products per grain. */
enum { DEPTH = 256, GRAIN = 1 << 18, MIN_TASKS = 8, MIN_ROWS = 24 };

typedef struct {
    const pqc_matmul *p;
    const float *a, *b;
    float *y;
    ptrdiff_t panels, parts; /* panels of a matrix; `parts` its rows are divided into */
} job;

static ptrdiff_t offset_of(const pqc_matrices *m, ptrdiff_t outer, ptrdiff_t inner)
{
    return outer * m->batch[0] + inner * m->batch[1];
}

/* Packs rows of n columns that lie `between` floats apart. */
static void pack_rows(const float *b, ptrdiff_t row, ptrdiff_t between_columns, ptrdiff_t depth,
                      ptrdiff_t n, float *panel)
{
    if (between_columns == 1)
        for (ptrdiff_t l = 0; l < depth; l++)
            memcpy(panel + l * PQC_GEMM_NR, b + l * row, (size_t)n * sizeof *panel);
    else if (row == 1)
        pqc.transpose_f32(b, between_columns, n, depth, panel, PQC_GEMM_NR);
    else
        for (ptrdiff_t l = 0; l < depth; l++)
            for (ptrdiff_t i = 0; i < n; i++)
                panel[l * PQC_GEMM_NR + i] = b[l * row + i * between_columns];
}

/* Packs rows [first, first + depth), n columns from `column`, in tap order. */
static void pack(const job *j, const float *b, ptrdiff_t first, ptrdiff_t depth, ptrdiff_t column,
                 ptrdiff_t n, float *panel)
{
    const pqc_matrices *m = &j->p->b;
    ptrdiff_t taps = pqc_max(j->p->taps, 1), of_tap = j->p->k / taps, end = first + depth;
    b += column * m->column;
    if (n < PQC_GEMM_NR)
        memset(panel, 0, (size_t)(depth * PQC_GEMM_NR) * sizeof *panel);
    for (ptrdiff_t size; first < end; first += size, panel += size * PQC_GEMM_NR) {
        size = pqc_min(end - first, of_tap - first % of_tap);
        ptrdiff_t from = first % of_tap * taps + first / of_tap;
        pack_rows(b + from * m->row, taps * m->row, m->column, size, n, panel);
    }
}

static void begin_rows(const float *start, const pqc_gemm *g)
{
    for (ptrdiff_t i = 0; i < g->rows; i++)
        for (ptrdiff_t c = 0; c < g->n; c++)
            g->y[i * g->y_row + c] = start[i];
}

/* Tasks are numbered (matrix, panel, part of the rows), part fastest. */
static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_matmul *p = j->p;
    static const float zeros[PQC_GEMM_NR] = {0};
    _Alignas(64) float panel[DEPTH * PQC_GEMM_NR];
    for (ptrdiff_t task = begin; task < end; task++) {
        ptrdiff_t part = task % j->parts, rest = task / j->parts, pair = rest / j->panels;
        ptrdiff_t outer = pair / p->batch[1], inner = pair % p->batch[1];
        ptrdiff_t column = rest % j->panels * PQC_GEMM_NR;
        ptrdiff_t row = pqc_part_begin(p->m, j->parts, part);
        const float *b = j->b + offset_of(&p->b, outer, inner);
        pqc_gemm g = {.b = panel, .n = pqc_min(p->n - column, PQC_GEMM_NR)};
        g.rows = pqc_part_begin(p->m, j->parts, part + 1) - row;
        g.a_row = p->a.row;
        g.y_row = p->y.row;
        g.a = j->a + offset_of(&p->a, outer, inner) + row * g.a_row;
        g.y = j->y + offset_of(&p->y, outer, inner) + row * g.y_row + column;
        g.start = p->start ? NULL : zeros;
        if (p->start)
            begin_rows(p->start + inner * p->m + row, &g);
        for (ptrdiff_t done = 0; done == 0 || done < p->k; done += DEPTH, g.start = NULL) {
            g.k = pqc_min(p->k - done, DEPTH);
            g.plus_zero = p->start && p->k - done <= DEPTH;
            pack(j, b, done, g.k, column, g.n, panel);
            pqc.gemm_f32(&g);
            g.a += DEPTH;
        }
    }
}

void pqc_matmul_f32(const pqc_matmul *p, const float *a, const float *b, float *y)
{
    job j = {.p = p, .a = a, .b = b, .y = y, .panels = pqc_div_round_up(p->n, PQC_GEMM_NR)};
    ptrdiff_t pairs = p->batch[0] * p->batch[1] * j.panels;
    if (pairs == 0 || p->m == 0)
        return;
    j.parts = pqc_clamp(pqc_min(MIN_TASKS / pairs, p->m / MIN_ROWS), 1, MIN_TASKS);
    double products = (double)pairs * PQC_GEMM_NR * (double)p->m * (double)(p->k + 8);
    pqc_parallel_tasks(pairs * j.parts, products < 0x1p60 ? (ptrdiff_t)products : PTRDIFF_MAX,
                       GRAIN, run_tasks, &j);
}
