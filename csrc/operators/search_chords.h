/* The least of many candidates whose scores nearly lie on a curve: what lies between two of its points is bounded by these,
 * and is halved until it is dropped or has few candidates, which are all scored. */
#ifndef PQC_SEARCH_CHORDS_H
#define PQC_SEARCH_CHORDS_H

#include "search.h"

/* The candidates from `at` up to `width` further, that one left out; the curve at both and half-way.  Of one
 * candidate alone, `low` is its score. */
typedef struct {
    ptrdiff_t at;
    double low, middle, high;
} pqc_chord;

typedef struct {
    const pqc_search *search;
    /* A number near the score, of which the bounds are made; called by several threads, as are the others. */
    double (*curve)(const void *context, ptrdiff_t candidate);
    /* No candidate from `low` to `high` has a smaller score, if these numbers are theirs. */
    double (*least)(const void *context, ptrdiff_t low, double on_low, ptrdiff_t high,
                    double on_high);
    /* The scores of n <= PQC_CHORD_RUN neighbours. */
    void (*scores)(const void *context, ptrdiff_t first, ptrdiff_t n, double *found);
    const void *context;
    ptrdiff_t candidates;
    ptrdiff_t cost; /* numbers read for one score */
    double slack,
        rate; /* a score within slack + rate * score of the least one found may be the least */
    pqc_chord *chords; /* as many as candidates, and two */
    double best;       /* the least score found */
    ptrdiff_t width, slice;
} pqc_chords;

enum { PQC_CHORD_RUN = 8 };

/* The number of chords left, each of one candidate that may have the least score, in their order; -1 if stopped. */
ptrdiff_t pqc_narrow_chords(pqc_chords *c);

#endif
