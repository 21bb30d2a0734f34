/* The squared error of one amax over a histogram, in full or from running sums over the levels. */
#ifndef PQC_SEARCH_MSE_ERROR_H
#define PQC_SEARCH_MSE_ERROR_H

#include "search.h"

/* Over the filled bins from some bin on: the number of values, their sum and the sum of their squares.  sum_rest is
 * the rounding error of `sum`. */
typedef struct {
    double count, sum, square, sum_rest;
} pqc_above;

/* A candidate's quantiser: level k stands for levels[k] / div. */
typedef struct {
    float amax, mul, div;
    double top; /* the largest level */
    bool zero;  /* everything becomes 0 */
} pqc_mse_quant;

typedef struct {
    pqc_int_format format;
    /* Centres of the n filled bins in bin order, without those that always become 0; and their counts. */
    const float *x;
    const double *weight;
    ptrdiff_t n;
    const float *rising;    /* magnitudes of the centres, ascending (x itself if it is) */
    const double *count;    /* counts in that order */
    int32_t *order;         /* scratch for sorting, where x is not ascending */
    const pqc_above *above; /* n + 1 entries */
    /* cells + 1 entries: the first centre in each of equal cells from rising[0] on */
    const int32_t *start;
    ptrdiff_t cells;
    double per_cell;
    const float *levels; /* steps + 1 entries; NULL: too many levels to be worth looking up */
    ptrdiff_t steps;
} pqc_mse_table;

/* Bytes of scratch for a table of `bins` bins. */
size_t pqc_mse_table_scratch(ptrdiff_t bins);
/* PQC_MSE_RISING: the centres ascend from 0 or more.  PQC_MSE_SORTED: they do not, but the error depends on
 * magnitudes alone.  PQC_MSE_PLAIN: some are not finite, or so large that a level might overflow; only x and weight
 * are set.  Or PQC_STOPPED.  The table lies in `scratch`. */
enum { PQC_MSE_PLAIN, PQC_MSE_RISING, PQC_MSE_SORTED };
int pqc_mse_table_init(pqc_mse_table *t, const pqc_search *s, const float *centres,
                       pqc_int_format format, void *scratch);

/* Sorts the n indices in `order` by |values[index]|, stably; `work` has room for 2 n.  False if stopped. */
bool pqc_mse_sort(const pqc_search *s, const float *values, int32_t *order, uint64_t *work,
                  ptrdiff_t n);

pqc_mse_quant pqc_mse_quant_of(const pqc_mse_table *t, float amax);

/* The sum of weight * (quantised - x)^2 in bin order, which decides. */
double pqc_mse_in_full(const pqc_mse_table *t, float amax);

/* The same, for n <= PQC_MSE_RUN quantisers of ascending amax, within pqc_mse_rounding of it. */
enum { PQC_MSE_RUN = 8 };
void pqc_mse_estimate(const pqc_mse_table *t, const pqc_mse_quant *q, ptrdiff_t n, double *errors);
double pqc_mse_rounding(const pqc_mse_table *t);

/* The estimate with exact levels and borders; and a lower bound of it for every amax between two others. */
double pqc_mse_exact(const pqc_mse_table *t, const pqc_mse_quant *q);
double pqc_mse_between(const pqc_mse_table *t, const pqc_mse_quant *low, double low_error,
                       const pqc_mse_quant *high, double high_error);

/* True if every x becomes 0. */
bool pqc_mse_all_zero(const pqc_mse_table *t, const pqc_mse_quant *q);

#endif
