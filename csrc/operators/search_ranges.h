/* The minimum of many candidates by branch and bound: ranges of neighbours are halved, and dropped once their lower
 * bound exceeds the best estimate so far.  In short ranges, and where halving does not help, all candidates are
 * estimated, neighbours together. */
#ifndef PQC_SEARCH_RANGES_H
#define PQC_SEARCH_RANGES_H

#include "parallel.h"
#include "search.h"

/* Neighbouring candidates from `at`, and a lower bound of their scores. */
typedef struct {
    ptrdiff_t at;
    double least;
} pqc_range;

typedef struct pqc_ranges pqc_ranges;
struct pqc_ranges {
    const pqc_search *search;
    /* Sets the lower bound of range `number`, which ends before `end`, and its entry of `found`: an estimate of one
     * of its candidates, or infinity.  The bound of a single candidate is its estimate.  Called by several threads. */
    void (*bound)(pqc_ranges *r, ptrdiff_t number, ptrdiff_t end);
    /* Likewise: estimates of n <= PQC_RANGE_RUN neighbouring candidates, cheaper than n bounds. */
    void (*estimates)(pqc_ranges *r, ptrdiff_t first, ptrdiff_t n, double *found);
    void *context;
    ptrdiff_t candidates;
    ptrdiff_t cost; /* numbers read per bound */
    double slack,
        rate; /* a score within slack + rate * score of the best estimate may still be the best */
    pqc_range *ranges; /* room for candidates + 1 */
    double *found;     /* room for candidates + 1 */
    double best;       /* the best estimate from wider ranges */
    ptrdiff_t width;   /* candidates per range */
    /* while halving helps, only ranges of at most this many candidates are estimated in full */
    ptrdiff_t few;
    ptrdiff_t slice; /* first range of the current slice */
};

enum { PQC_RANGE_RUN = 8 };

/* Calls fn for numbers 0 to n - 1, relative to *slice, in slices, and `stop` between them; false if that returned
 * true.  `cost`: the numbers that fn reads for one. */
bool pqc_in_slices(const pqc_search *s, ptrdiff_t *slice, ptrdiff_t n, ptrdiff_t cost,
                   ptrdiff_t grain, pqc_range_fn fn, void *context);

/* Returns how many ranges are left, each of one candidate that may have the best score; -1 if stopped. */
ptrdiff_t pqc_narrow_down(pqc_ranges *r);

#endif
