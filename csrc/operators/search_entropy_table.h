/* What the entropy search knows of a histogram: running sums, from which the divergence of a candidate is estimated and
 * bounded, and the same in full. */
#ifndef PQC_SEARCH_ENTROPY_TABLE_H
#define PQC_SEARCH_ENTROPY_TABLE_H

#include "search.h"
#include "search_logs/search_logs.h"

typedef struct {
    const pqc_search *search;
    pqc_groups groups;      /* sums, filled: running sums of the counts, and of the bins with any */
    const double *clogc;    /* running sums of c log c */
    const int32_t *changes; /* pairs of neighbouring filled bins with different counts */
    ptrdiff_t number_of_changes;
    double total;
    bool single;  /* as many levels as bins or more: every group is one bin */
    double *work; /* room for two distributions */
} pqc_entropy_table;

/* Bytes of a table with this many bins. */
size_t pqc_entropy_table_scratch(ptrdiff_t bins);
/* False if stopped on the way. */
bool pqc_entropy_table_init(pqc_entropy_table *t, const pqc_search *s, int num_bits,
                            bool is_unsigned, void *scratch);

/* The first bin of group number `group` of the first i bins. */
static inline ptrdiff_t pqc_entropy_group_begin(const pqc_entropy_table *t, ptrdiff_t i,
                                                int64_t group)
{
    int64_t levels = (int64_t)1 << t->groups.shift;
    return t->single ? (ptrdiff_t)group : (ptrdiff_t)((group * i + levels - 1) >> t->groups.shift);
}

/* What clipping costs candidate i: its divergence if flattening cost nothing. */
double pqc_entropy_of_clipping(const pqc_entropy_table *t, ptrdiff_t i);
/* What flattening adds to that for any candidate in [first, last], at least; what is more than `enough` may be less of it. */
double pqc_entropy_of_flattening(const pqc_entropy_table *t, ptrdiff_t first, ptrdiff_t last,
                                 double enough);
/* The divergences of n <= PQC_CANDIDATES neighbouring candidates from i on, right to 1e-12. */
void pqc_entropy_estimates(const pqc_entropy_table *t, ptrdiff_t i, ptrdiff_t n, double *found);

/* Whether all counts lie below i and those of each group are equal: the divergence is 0, exactly. */
bool pqc_entropy_is_zero(const pqc_entropy_table *t, ptrdiff_t i);

/* Candidate i in the original's order of operations: this decides.  False if stopped on the way. */
bool pqc_entropy_in_full(const pqc_entropy_table *t, ptrdiff_t i, double *divergence);

#endif
