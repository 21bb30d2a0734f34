/* The minimum of many candidates whose scores lie close to a curve.  Between two points of the curve its values are
 * bounded from below; the interval is halved until it is dropped or holds few candidates, which are then all scored. */
#ifndef PQC_SEARCH_CHORDS_H
#define PQC_SEARCH_CHORDS_H

#include "search.h"

/* The candidates [at, at + width), with the curve at both ends and at the middle.  For a single candidate `low` is
 * its score. */
typedef struct {
    ptrdiff_t at;
    double low, middle, high;
} pqc_chord;

typedef struct {
    const pqc_search *search;
    /* A value near the candidate's score, from which the bounds are computed.  Called by several threads, as are the
     * other functions. */
    double (*curve)(const void *context, ptrdiff_t candidate);
    /* A lower bound of the scores from `low` to `high`, given the curve at both. */
    double (*least)(const void *context, ptrdiff_t low, double on_low, ptrdiff_t high,
                    double on_high);
    /* The scores of n <= PQC_CHORD_RUN neighbours. */
    void (*scores)(const void *context, ptrdiff_t first, ptrdiff_t n, double *found);
    const void *context;
    ptrdiff_t candidates;
    ptrdiff_t cost;     /* numbers read per score */
    double slack, rate; /* a score within slack + rate * score of the best may still be the best */
    pqc_chord *chords;  /* room for candidates + 2 chords */
    double best;        /* the best score so far */
    ptrdiff_t width, slice;
} pqc_chords;

enum { PQC_CHORD_RUN = 8 };

/* Narrows the candidates down; returns how many chords are left, in order, each of one candidate that may have the
 * best score; -1 if stopped. */
ptrdiff_t pqc_narrow_chords(pqc_chords *c);

#endif
