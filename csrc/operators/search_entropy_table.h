/* Running sums over a histogram, from which the entropy search estimates and bounds the divergence of a candidate;
 * and the divergence in full. */
#ifndef PQC_SEARCH_ENTROPY_TABLE_H
#define PQC_SEARCH_ENTROPY_TABLE_H

#include "search.h"
#include "search_logs/search_logs.h"

typedef struct {
    const pqc_search *search;
    /* sums, filled: running sums of the counts, and of the number of filled bins */
    pqc_groups groups;
    const double *clogc;    /* running sums of c log c */
    const int32_t *changes; /* pairs of neighbouring filled bins with different counts */
    ptrdiff_t number_of_changes;
    double total;
    bool single;  /* at least as many levels as bins: each group is one bin */
    double *work; /* room for two distributions of `bins` numbers */
} pqc_entropy_table;

/* Bytes of a table with this many bins. */
size_t pqc_entropy_table_scratch(ptrdiff_t bins);
/* False if stopped. */
bool pqc_entropy_table_init(pqc_entropy_table *t, const pqc_search *s, int num_bits,
                            bool is_unsigned, void *scratch);

/* The first bin of group number `group` of the first i bins. */
static inline ptrdiff_t pqc_entropy_group_begin(const pqc_entropy_table *t, ptrdiff_t i,
                                                int64_t group)
{
    int64_t levels = (int64_t)1 << t->groups.shift;
    return t->single ? (ptrdiff_t)group : (ptrdiff_t)((group * i + levels - 1) >> t->groups.shift);
}

/* The cost of clipping at candidate i: its divergence if flattening were free. */
double pqc_entropy_of_clipping(const pqc_entropy_table *t, ptrdiff_t i);
/* A lower bound of what flattening adds for every candidate in [first, last]; once it exceeds `enough` it may be
 * incomplete. */
double pqc_entropy_of_flattening(const pqc_entropy_table *t, ptrdiff_t first, ptrdiff_t last,
                                 double enough);
/* The divergences of n <= PQC_CANDIDATES neighbouring candidates from i, accurate to 1e-12. */
void pqc_entropy_estimates(const pqc_entropy_table *t, ptrdiff_t i, ptrdiff_t n, double *found);

/* True if all counts lie below i and the bins of each group are equal: the divergence is exactly 0. */
bool pqc_entropy_is_zero(const pqc_entropy_table *t, ptrdiff_t i);

/* The divergence of candidate i in the original's order of operations, which decides.  False if stopped. */
bool pqc_entropy_in_full(const pqc_entropy_table *t, ptrdiff_t i, double *divergence);

#endif
