/* Softmax, layer normalisation and transposes of float32 rows, split over threads. */
#include "rows.h"

#include "dispatch.h"
#include "parallel.h"

enum {
    GRAIN = 1 << 13,
    STRIP = 64
}; /* rows that are transposed together: whole cache lines are written */

typedef struct {
    const float *x;
    float *y;
    ptrdiff_t n;
    const pqc_layer_norm *norm; /* NULL means softmax */
} job;

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const float *x = j->x + begin * j->n;
    float *y = j->y + begin * j->n;
    if (j->norm)
        pqc.layer_norm_f32(x, y, end - begin, j->n, j->norm);
    else
        pqc.softmax_f32(x, y, end - begin, j->n);
}

void pqc_softmax_rows(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
    job j = {x, y, n, NULL};
    if (n > 0)
        pqc_parallel_tasks(rows, rows * n, GRAIN, run_rows, &j);
}

void pqc_layer_norm_rows(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n,
                         const pqc_layer_norm *p)
{
    job j = {x, y, n, p};
    if (n > 0)
        pqc_parallel_tasks(rows, rows * n, GRAIN, run_rows, &j);
}

typedef struct {
    const float *x;
    float *y;
    ptrdiff_t rows, columns;
} transposing;

static void run_strips(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const transposing *t = context;
    ptrdiff_t strips = pqc_div_round_up(t->rows, STRIP), size = t->rows * t->columns;
    for (ptrdiff_t i = begin; i < end; i++) {
        const float *x = t->x + i / strips * size;
        float *y = t->y + i / strips * size;
        ptrdiff_t row = i % strips * STRIP, n = pqc_min(t->rows - row, STRIP);
        pqc.transpose_f32(x + row * t->columns, t->columns, n, t->columns, y + row, t->rows);
    }
}

void pqc_transpose_rows(const float *x, float *y, ptrdiff_t outer, ptrdiff_t rows,
                        ptrdiff_t columns)
{
    transposing t = {x, y, rows, columns};
    pqc_parallel_tasks(outer * pqc_div_round_up(rows, STRIP), outer * rows * columns, GRAIN,
                       run_strips, &t);
}
