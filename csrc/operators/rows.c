/* Softmax, layer normalisation and transposes of float32 rows, split over threads. */
#include "rows.h"

#include "dispatch.h"
#include "parallel.h"

#include <math.h>

enum {
    GRAIN = 1 << 13,
    STRIP = 64
}; /* rows that are transposed together: whole cache lines are written */

typedef struct {
    const float *x;
    float *y;
    ptrdiff_t n;
    const pqc_layer_norm *norm; /* NULL means softmax */
    bool logarithms;
} job;

static float largest(const float *x, ptrdiff_t n)
{
    float most = x[0];
    for (ptrdiff_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

void pqc_log_softmax_row(const float *x, float *y, ptrdiff_t n)
{
    pqc.softmax_f32(x, y, 1, n);
    float most = largest(x, n), log_largest = (float)log((double)largest(y, n));
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = x[i] - most + log_largest;
}

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const float *x = j->x + begin * j->n;
    float *y = j->y + begin * j->n;
    for (ptrdiff_t i = 0; j->logarithms && i < (end - begin) * j->n; i += j->n)
        pqc_log_softmax_row(x + i, y + i, j->n);
    if (j->norm)
        pqc.layer_norm_f32(x, y, end - begin, j->n, j->norm);
    else if (!j->logarithms)
        pqc.softmax_f32(x, y, end - begin, j->n);
}

void pqc_softmax_rows(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
    job j = {x, y, n, NULL, false};
    if (n > 0)
        pqc_parallel_tasks(rows, rows * n, GRAIN, run_rows, &j);
}

void pqc_log_softmax_rows(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
    job j = {x, y, n, NULL, true};
    if (n > 0)
        pqc_parallel_tasks(rows, rows * n, GRAIN, run_rows, &j);
}

void pqc_layer_norm_rows(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n,
                         const pqc_layer_norm *p)
{
    job j = {x, y, n, p, false};
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
