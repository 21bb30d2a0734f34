/* The least of many candidates by bounds: ranges of neighbours are halved, and dropped once their bound is above the
 * least estimate found so far.  Of short ranges, and where halving does not help, all candidates are estimated, neighbours at
 * once. */
#ifndef PQC_SEARCH_RANGES_H
#define PQC_SEARCH_RANGES_H

#include "parallel.h"
#include "search.h"

/* Neighbouring candidates from `at` on, and a lower bound of what they score. */
typedef struct {
    ptrdiff_t at;
    double least;
} pqc_range;

typedef struct pqc_ranges pqc_ranges;
struct pqc_ranges {
    const pqc_search *search;
    /* Sets the bound of a range, which ends before `end`, and its entry of `found`: an estimate of one of its candidates, or
     * infinity.  A range of one candidate is bounded by its own estimate.  Called by several threads. */
    void (*bound)(pqc_ranges *r, ptrdiff_t number, ptrdiff_t end);
    /* Likewise, estimates of n <= PQC_RANGE_RUN neighbours; cheaper than as many bounds. */
    void (*estimates)(pqc_ranges *r, ptrdiff_t first, ptrdiff_t n, double *found);
    void *context;
    ptrdiff_t candidates;
    ptrdiff_t cost; /* numbers read for one bound */
    double slack,
        rate; /* a score within slack + rate * score of the least estimate may be the least */
    pqc_range *ranges; /* as many as candidates, and one */
    double *found;     /* likewise */
    double best;       /* the least estimate of wider ranges */
    ptrdiff_t width;   /* candidates in a range */
    ptrdiff_t few;     /* no range of more candidates is estimated whole while halving helps */
    ptrdiff_t slice;   /* the first range of the slice at work */
};

enum { PQC_RANGE_RUN = 8 };

/* Calls fn for numbers 0 to n - 1, less *slice, in slices between which it asks whether to stop: then false.  `cost`: the
 * numbers that fn reads for one of them. */
bool pqc_in_slices(const pqc_search *s, ptrdiff_t *slice, ptrdiff_t n, ptrdiff_t cost,
                   ptrdiff_t grain, pqc_range_fn fn, void *context);

/* The number of ranges left, each of one candidate that may have the least score; -1 if stopped. */
ptrdiff_t pqc_narrow_down(pqc_ranges *r);

#endif
