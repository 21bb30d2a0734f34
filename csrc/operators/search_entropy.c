/* Entropy (KL divergence) calibration: bounds drop most candidates, estimates most of the rest, full sums decide. */
#include "search_entropy_table.h"
#include "search_ranges.h"

#include <math.h>

enum { GRAIN = 64, CLIPPING_COST = 8, FEW = 32 };

typedef struct {
    pqc_entropy_table table;
    pqc_ranges ranges;
    double *clipping; /* cost of clipping, per candidate */
} job;

static ptrdiff_t candidates_of(const pqc_search *s)
{
    return s->start > s->bins ? 0 : (s->bins - s->start) / s->stride + 1;
}

size_t pqc_entropy_scratch(pqc_search s)
{
    size_t candidates = (size_t)candidates_of(&s);
    return pqc_entropy_table_scratch(s.bins) + candidates * sizeof(double) +
           (candidates + 1) * (sizeof(pqc_range) + sizeof(double));
}

static ptrdiff_t bins_of(const pqc_search *s, ptrdiff_t candidate)
{
    return s->start + candidate * s->stride;
}

static void clip(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    for (ptrdiff_t n = j->ranges.slice + begin; n < j->ranges.slice + end; n++)
        j->clipping[n] = pqc_entropy_of_clipping(&j->table, bins_of(j->table.search, n));
}

/* Estimates the candidate of the range that clipping costs least, and bounds the range. */
static void bound(pqc_ranges *r, ptrdiff_t number, ptrdiff_t end)
{
    job *j = r->context;
    const pqc_search *s = r->search;
    pqc_range *range = &r->ranges[number];
    ptrdiff_t least = range->at;
    for (ptrdiff_t n = range->at; n < end; n++)
        if (!(j->clipping[n] >= j->clipping[least])) /* NaN come first */
            least = n;
    range->least = j->clipping[least];
    r->found[number] = INFINITY;
    if (!(range->least <= r->best + r->slack) || range->least == INFINITY)
        return;
    if (pqc_entropy_is_zero(&j->table,
                            bins_of(s, least))) { /* only a strictly better one: many are equal */
        range->least = r->found[number] = 0.0;
        return;
    }
    if (r->width > 1)
        range->least +=
            pqc_entropy_of_flattening(&j->table, bins_of(s, range->at), bins_of(s, end - 1),
                                      r->best + 2.0 * r->slack - range->least);
    if (r->width == 1 || range->least < r->best)
        pqc_entropy_estimates(&j->table, bins_of(s, least), 1, &r->found[number]);
    if (r->width == 1)
        range->least = r->found[number];
}

/* Estimates neighbouring candidates; where clipping alone is too expensive, its cost stands for the estimate. */
static void estimates(pqc_ranges *r, ptrdiff_t first, ptrdiff_t n, double *found)
{
    job *j = r->context;
    double least = INFINITY;
    for (ptrdiff_t k = 0; k < n; k++) {
        found[k] = j->clipping[first + k];
        least = fmin(least, found[k]);
    }
    if (least <= r->best + r->slack)
        pqc_entropy_estimates(&j->table, bins_of(r->search, first), n, found);
}

/* The best of n remaining candidates in full, the last one of equals; or PQC_STOPPED. */
static ptrdiff_t choose(const job *j, ptrdiff_t n)
{
    const pqc_range *left = j->ranges.ranges;
    double found = INFINITY;
    ptrdiff_t last = j->ranges.candidates - 1; /* the answer if all are infinite */
    for (ptrdiff_t k = 0; k < n; k++) {
        ptrdiff_t i = bins_of(j->table.search, left[k].at);
        double full = 0.0;
        if (k % GRAIN == 0 && pqc_search_stopped(j->table.search))
            return PQC_STOPPED;
        if (n > 1 && !pqc_entropy_is_zero(&j->table, i) &&
            !pqc_entropy_in_full(&j->table, i, &full))
            return PQC_STOPPED;
        if (full <= found) {
            found = full;
            last = left[k].at;
        }
    }
    return bins_of(j->table.search, last);
}

/* Candidates whose estimates are within this of the best are computed in full.  No logarithm exceeds 44, so adding
 * one for each of n levels has an error of at most 44 n * 2^-53 of the divergence; the other sums and logarithms add
 * some 1e-13. */
static double largest_error(int shift)
{
    return 1e-12 + 1e-14 * ldexp(1.0, shift);
}

ptrdiff_t pqc_entropy_search(pqc_search s, int num_bits, bool is_unsigned, void *scratch)
{
    ptrdiff_t candidates = candidates_of(&s);
    job j = {.ranges = {.search = &s,
                        .bound = bound,
                        .estimates = estimates,
                        .few = s.stride == 1 ? FEW : 1,
                        .candidates = candidates,
                        .cost = (ptrdiff_t)2 << pqc_clamp(num_bits - 1 + is_unsigned, 0, 20),
                        .slack = largest_error(num_bits - 1 + is_unsigned)}};
    if (candidates == 0)
        return -1;
    j.clipping = (double *)((char *)scratch + pqc_entropy_table_scratch(s.bins));
    j.ranges.found = j.clipping + candidates;
    j.ranges.ranges = (pqc_range *)(j.ranges.found + candidates + 1);
    j.ranges.context = &j;
    if (!pqc_entropy_table_init(&j.table, &s, num_bits, is_unsigned, scratch) ||
        !pqc_in_slices(&s, &j.ranges.slice, candidates, CLIPPING_COST, GRAIN, clip, &j))
        return PQC_STOPPED;
    ptrdiff_t left = pqc_narrow_down(&j.ranges);
    return left < 0 ? PQC_STOPPED : choose(&j, left);
}
