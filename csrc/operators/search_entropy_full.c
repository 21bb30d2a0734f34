/* The divergence of one candidate in the original's order of operations (NumPy's pairwise sums, SciPy's rel_entr), in
 * double. */
#include "search_entropy_table.h"

#include <float.h>
#include <math.h>

enum { ASK = 1 << 18 }; /* bins between two calls of `stop`: some 10 ms */

/* NumPy's order of summation: eight running sums within 128 numbers, halves above. */
static double pairwise_sum(const double *x, ptrdiff_t n)
{
    if (n > 128) {
        ptrdiff_t half = n / 2 / 8 * 8;
        return pairwise_sum(x, half) + pairwise_sum(x + half, n - half);
    }
    double r[8] = {0}, sum = 0.0;
    ptrdiff_t i = 0;
    if (n >= 8) {
        for (; i < 8; i++)
            r[i] = x[i];
        for (; i + 8 <= n; i += 8)
            for (int k = 0; k < 8; k++)
                r[k] += x[i + k];
        sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    }
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

/* SciPy's rel_entr of p, q >= 0: p log(p / q). */
static double relative_entropy(double p, double q)
{
    if (p == 0.0)
        return 0.0;
    if (q == 0.0)
        return INFINITY;
    double ratio = p / q;
    if (ratio > 0.5 && ratio < 2.0)
        return p * log1p((p - q) / q);
    if (ratio > DBL_MIN && ratio < DBL_MAX)
        return p * log(ratio);
    return p * (log(p) - log(q));
}

static double count_at(const pqc_search *s, ptrdiff_t i)
{
    return (double)s->counts[i == 0 && s->bins > 1 ? 1 : i];
}

/* q of candidate i, not yet normalised. */
static void flatten(const pqc_entropy_table *t, ptrdiff_t i, double *q)
{
    const pqc_groups *g = &t->groups;
    ptrdiff_t from = 0;
    for (int64_t group = 1; from < i; group++) {
        ptrdiff_t to = pqc_entropy_group_begin(t, i, group);
        double filled = g->filled[to] - g->filled[from];
        double level = filled > 0.0 ? (g->sums[to] - g->sums[from]) / filled : 0.0;
        for (; from < to; from++)
            q[from] = count_at(t->search, from) > 0.0 ? level : 0.0;
    }
}

bool pqc_entropy_in_full(const pqc_entropy_table *t, ptrdiff_t i, double *divergence)
{
    double *p = t->work, *q = p + i;
    if (pqc_search_stopped(t->search))
        return false;
    flatten(t, i, q);
    for (ptrdiff_t k = 0; k < i; k++)
        p[k] = count_at(t->search, k);
    p[i - 1] += t->total - t->groups.sums[i];
    double sum_p = pairwise_sum(p, i), sum_q = pairwise_sum(q, i);
    for (ptrdiff_t k = 0; k < i; k++) {
        if (k % ASK == 0 && pqc_search_stopped(t->search))
            return false;
        p[k] = relative_entropy(p[k] / sum_p, q[k] / sum_q);
    }
    *divergence = pairwise_sum(p, i);
    return true;
}
