/* Sums of S log(S / k) over the groups of a histogram, in double, for neighbouring candidates, in plain C; see
 * search_logs.h. */
#include "search_logs.h"

static double one(const pqc_groups *g, ptrdiff_t i)
{
    /* starts there so that the shift rounds up */
    int64_t levels = (int64_t)1 << g->shift, at = levels - 1;
    double before = 0.0, filled_before = 0.0, sum = 0.0;
    ptrdiff_t border = 0;
    for (int64_t group = 0; group < levels && border < g->used; group++) {
        at += i;
        border = (ptrdiff_t)(at >> g->shift);
        double s = g->sums[border] - before, k = g->filled[border] - filled_before;
        before = g->sums[border];
        filled_before = g->filled[border];
        if (s > 0.0)
            sum += s * (pqc_log(s, g) - g->logs[(ptrdiff_t)k]);
    }
    return sum;
}

void pqc_search_logs_scalar(const pqc_groups *g, ptrdiff_t first, ptrdiff_t stride, int n,
                            double *sums)
{
    for (int k = 0; k < n; k++)
        sums[k] = one(g, first + k * stride);
}
