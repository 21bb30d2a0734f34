#include "rows.h"

#include "dispatch.h"
#include "parallel.h"

enum { GRAIN = 1 << 13 };

typedef struct {
    const float *x;
    float *y;
    ptrdiff_t n;
    const pqc_layer_norm *norm; /* NULL: softmax */
} job;

static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    for (ptrdiff_t i = begin * j->n; i < end * j->n; i += j->n)
        if (j->norm)
            pqc.layer_norm_f32(j->x + i, j->y + i, j->n, j->norm);
        else
            pqc.softmax_f32(j->x + i, j->y + i, j->n);
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
