/* How sums go along rows of outputs, the same on every ISA with vectors.  A column of up to four rows is read once for all outputs
 * of a row that it belongs to, and for two rows of outputs (SHARED_ROWS) where kernels are so small (SHARED_KERNEL) that both
 * stay in registers.
 *
 * The file of an ISA defines before: INLINE, SHARED_ROWS, SHARED_KERNEL, and of v vectors of channels, v being a constant where it
 * is inlined,
 *
 *   sums    load_sums(at, v)
 *   column  load_column(x, row, n, v): n rows (more than 4: 4), `row` bytes from one to the next
 *   taps    load_taps(w, v); taps_below(&taps, &before, v): of the output one row further down; `before`: the group above, or NULL
 *           add_column(&sums, &column, &taps, n, v): taps of rows from n on are zeros
 *   results store_results(sums, rows, &results, v): sums[i], of row i, go where `at` says, which is moved to the next pixel;
 *           `at` and `row`, from a row to the next: so far rows are told apart here (sums that stay sums: dwconv_nhwc_sums.h) */
#ifndef PQC_DWCONV_NHWC_ROWS_H
#define PQC_DWCONV_NHWC_ROWS_H

#include "dwconv_nhwc.h"

enum { MAX_OUTPUTS = 7, MAX_KERNEL = 7, MAX_GROUPS = 2 };

/* What all outputs of a row share. */
typedef struct {
    ptrdiff_t tap_row, tap_pixel, columns;
    sums begin;
    const taps *w; /* [row][column][group] */
} row_job;

/* Adds the columns of one step, from where one output of a row begins to where the next one does, `stride` columns
 * further, to every output with a k x k window over them.  open[0] is the output that begins here, open[1] the one
 * before, up to open[oldest]; `turn` steps after they were there all are as many places lower, below the lowest of which
 * is the uppermost. */
INLINE void take_step(const row_job *g, sums (*open)[SHARED_ROWS], const uint8_t *x,
                      const int oldest, const int turn, const bool begins, const bool ends,
                      const int k, const int stride, const int rows, const int v)
{
    const int groups = (k + 3) / 4, places = oldest + 1;
    PQC_UNROLL(2)
    for (int s = 0; s < stride; s++) {
        if (ends && s + stride * oldest >= k)
            continue;
        PQC_UNROLL(2)
        for (int group = 0; group < groups; group++) {
            const int n = k + rows - 1 - 4 * group;
            column here =
                load_column(x + s * g->tap_pixel + 4 * group * g->tap_row, g->tap_row, n, v);
            PQC_UNROLL(7)
            for (int d = 0; d <= oldest; d++) {
                const int tap = stride * d + s, place = (d + places - turn) % places;
                if (tap >= k || (d == 0 && !begins))
                    continue;
                PQC_UNROLL(2)
                for (int i = 0; i < rows; i++) {
                    if (tap == 0 && group == 0)
                        open[place][i] = g->begin;
                    add_column(&open[place][i], &here, g->w + (i * k + tap) * groups + group, n, v);
                }
            }
        }
    }
}

INLINE void move_on(sums (*open)[SHARED_ROWS], const int oldest, const int rows)
{
    PQC_UNROLL(6)
    for (int d = oldest; d > 0; d--)
        for (int i = 0; i < rows; i++)
            open[d][i] = open[d - 1][i];
}

/* `rows` rows of outputs.  Each step completes one output. */
INLINE void sum_rows(const row_job *g, const uint8_t *x, results to, const int k, const int stride,
                     const int rows, const int v)
{
    const int oldest = (k - 1) / stride;
    const ptrdiff_t step = stride * g->tap_pixel, steps = g->columns + oldest;
    sums open[MAX_OUTPUTS][SHARED_ROWS];
    PQC_UNROLL(7)
    for (int d = 0; d <= oldest; d++)
        for (int i = 0; i < rows; i++)
            open[d][i] = g->begin;
    ptrdiff_t n = 0;
    for (; n < pqc_min(oldest, g->columns); n++, x += step) {
        take_step(g, open, x, oldest, 0, true, false, k, stride, rows, v);
        move_on(open, oldest, rows);
    }
    for (; k == 3 && stride == 1 && n + oldest < g->columns; n += oldest + 1) {
        PQC_UNROLL(3)
        for (int turn = 0; turn <= oldest; turn++, x += step) {
            take_step(g, open, x, oldest, turn, true, false, k, stride, rows, v);
            store_results(open[oldest - turn], rows, &to, v);
        }
    }
    for (; n < g->columns; n++, x += step) {
        take_step(g, open, x, oldest, 0, true, false, k, stride, rows, v);
        store_results(open[oldest], rows, &to, v);
        move_on(open, oldest, rows);
    }
    for (; n < steps; n++, x += step) {
        take_step(g, open, x, oldest, 0, false, n == steps - 1, k, stride, rows, v);
        if (n >= oldest)
            store_results(open[oldest], rows, &to, v);
        move_on(open, oldest, rows);
    }
}

/* Outputs that share columns: k is 3, 5 or 7. */
INLINE void sum_shared(const pqc_dwconv_nhwc_params *g, ptrdiff_t channel, results to, const int k,
                       const int stride, const int v)
{
    const int groups = (k + 3) / 4,
              two = k <= SHARED_KERNEL && v * (k / 4 + 1) < 4 ? SHARED_ROWS : 1;
    taps w[SHARED_ROWS * MAX_KERNEL * MAX_GROUPS];
    for (int i = 0; i < k * groups; i++) {
        w[i] = load_taps(g->w + i * g->w_pitch + 4 * channel, v);
        if (two == 2)
            w[k * groups + i] = taps_below(&w[i], i % groups ? &w[i - 1] : NULL, v);
    }
    row_job job = {g->tap_row, g->tap_pixel, g->columns, load_sums(g->compensation + channel, v),
                   w};
    const uint8_t *x = g->x + channel;
    ptrdiff_t i = 0;
    if (two == 2 && g->step_row == g->tap_row)
        for (; i + 2 <= g->rows; i += 2, x += 2 * g->step_row, to.at += 2 * to.row)
            sum_rows(&job, x, to, k, stride, two, v);
    for (; i < g->rows; i++, x += g->step_row, to.at += to.row)
        sum_rows(&job, x, to, k, stride, 1, v);
}

/* One output at a time, for any kernel. */
INLINE void sum_each(const pqc_dwconv_nhwc_params *g, ptrdiff_t channel, results to, const int v)
{
    for (ptrdiff_t i = 0; i < g->rows; i++, to.at += to.row) {
        results next = to;
        for (ptrdiff_t j = 0; j < g->columns; j++) {
            const uint8_t *x = g->x + i * g->step_row + j * g->step_pixel + channel;
            const int8_t *at = g->w + 4 * channel;
            sums sum = load_sums(g->compensation + channel, v);
            for (int b = 0; b < g->kw; b++, x += g->tap_pixel)
                for (int a = 0; a < g->kh; a += 4, at += g->w_pitch) {
                    column here = load_column(x + a * g->tap_row, g->tap_row, g->kh - a, v);
                    taps w = load_taps(at, v);
                    add_column(&sum, &here, &w, g->kh - a, v);
                }
            store_results(&sum, 1, &next, v);
        }
    }
}

/* v vectors of channels from `channel`; there is at least one column. */
INLINE void sum_channels(const pqc_dwconv_nhwc_params *g, ptrdiff_t channel, results to,
                         const int v)
{
    if (pqc_dwconv_shares_columns(g, 3, 1))
        sum_shared(g, channel, to, 3, 1, v);
    else if (pqc_dwconv_shares_columns(g, 3, 2))
        sum_shared(g, channel, to, 3, 2, v);
    else if (pqc_dwconv_shares_columns(g, 5, 1))
        sum_shared(g, channel, to, 5, 1, v);
    else if (pqc_dwconv_shares_columns(g, 5, 2))
        sum_shared(g, channel, to, 5, 2, v);
    else if (v < 4 && pqc_dwconv_shares_columns(g, 7, 1))
        sum_shared(g, channel, to, 7, 1, v);
    else
        sum_each(g, channel, to, v);
}

#endif
