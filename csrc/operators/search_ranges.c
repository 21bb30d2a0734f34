/* Minimum of many candidates by branch and bound over ranges of neighbouring candidates. */
#include "search_ranges.h"

#include <math.h>

enum {
    GRAIN = 8,
    RUNS = 16 * PQC_RANGE_RUN,
    FIRST_RANGES = 1024,
    /* candidates per range that are estimated when halving no longer drops ranges */
    MORE = 512,
    SLICE = 1 << 20, /* numbers read between two calls of `stop`: some 10 ms */
};

bool pqc_search_stopped(const pqc_search *s)
{
    return s->stop && s->stop(s->stop_context);
}

bool pqc_in_slices(const pqc_search *s, ptrdiff_t *slice, ptrdiff_t n, ptrdiff_t cost,
                   ptrdiff_t grain, pqc_range_fn fn, void *context)
{
    ptrdiff_t most = SLICE / (cost + 1) + 2;
    for (*slice = 0; *slice < n; *slice += most) {
        if (pqc_search_stopped(s))
            return false;
        pqc_parallel(n - *slice < most ? n - *slice : most, grain, fn, context);
    }
    return true;
}

static void bound_slice(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    pqc_ranges *r = context;
    for (ptrdiff_t i = r->slice + begin; i < r->slice + end; i++)
        r->bound(r, i, pqc_min(r->ranges[i].at + r->width, r->candidates));
}

/* Keeps the ranges that may hold a score of at most `limit`. */
static ptrdiff_t keep(pqc_ranges *r, ptrdiff_t n, double limit)
{
    ptrdiff_t kept = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        if (r->ranges[i].least <= limit)
            r->ranges[kept++] = r->ranges[i];
    return kept;
}

static ptrdiff_t halve(pqc_ranges *r, ptrdiff_t n)
{
    ptrdiff_t half = r->width / 2, last = n > 0 ? r->ranges[n - 1].at + half : 0;
    for (ptrdiff_t i = n; i-- > 0;) {
        ptrdiff_t at = r->ranges[i].at;
        r->ranges[2 * i] = (pqc_range){.at = at};
        if (at + half < r->candidates)
            r->ranges[2 * i + 1] = (pqc_range){.at = at + half};
    }
    r->width = half;
    return 2 * n - (n > 0 && last >= r->candidates);
}

static void estimate_run(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    pqc_ranges *r = context;
    for (ptrdiff_t i = r->slice + begin, n; i < r->slice + end; i += n) {
        ptrdiff_t at = r->ranges[i].at;
        for (n = 1; n < PQC_RANGE_RUN && i + n < r->slice + end && r->ranges[i + n].at == at + n;)
            n++;
        r->estimates(r, at, n, &r->found[i]);
    }
}

/* Estimates every candidate of n ranges; returns how many may be the minimum, or -1 if stopped. */
static ptrdiff_t estimate_all(pqc_ranges *r, ptrdiff_t n)
{
    ptrdiff_t last = n > 0 ? pqc_min(r->ranges[n - 1].at + r->width, r->candidates) : 0;
    ptrdiff_t all = n > 0 ? (n - 1) * r->width + last - r->ranges[n - 1].at : 0;
    for (ptrdiff_t i = n, to = all; i-- > 0;) {
        ptrdiff_t at = r->ranges[i].at;
        for (ptrdiff_t k = pqc_min(r->width, r->candidates - at); k-- > 0;)
            r->ranges[--to].at = at + k;
    }
    r->width = 1;
    if (!pqc_in_slices(r->search, &r->slice, all, r->cost / PQC_RANGE_RUN, RUNS, estimate_run, r))
        return -1;
    for (ptrdiff_t i = 0; i < all; i++) {
        r->ranges[i].least = r->found[i];
        r->best = fmin(r->best, r->found[i]);
    }
    return keep(r, all, r->best + r->slack + r->rate * r->best);
}

ptrdiff_t pqc_narrow_down(pqc_ranges *r)
{
    ptrdiff_t n = 0;
    r->best = INFINITY;
    for (r->width = 1; r->candidates / r->width > FIRST_RANGES;)
        r->width *= 2;
    for (ptrdiff_t at = 0; at < r->candidates; at += r->width)
        r->ranges[n++] = (pqc_range){.at = at};
    for (;; n = halve(r, n)) {
        ptrdiff_t before = n;
        if (!pqc_in_slices(r->search, &r->slice, n, r->cost, GRAIN, bound_slice, r))
            return -1;
        for (ptrdiff_t i = 0; i < n; i++)
            r->best = fmin(r->best, r->found[i]);
        n = keep(r, n, r->best + r->slack + r->rate * r->best);
        if (r->width == 1)
            return n;
        if (r->width <= r->few || (r->few > 1 && r->width <= MORE && n > before / 4 * 3))
            return estimate_all(r, n);
    }
}
