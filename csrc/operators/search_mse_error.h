/* The squared error of one amax over a histogram, in full or from running sums over the levels. */
#ifndef PQC_SEARCH_MSE_ERROR_H
#define PQC_SEARCH_MSE_ERROR_H

#include "search.h"

/* For the filled bins from one on: how many values they have, the sum of those and of their squares; to the sum belongs
 * what a double of its size cannot hold. */
typedef struct {
    double count, sum, square, sum_rest;
} pqc_above;

/* What a candidate quantises with: level k is `levels[k] / div`. */
typedef struct {
    float amax, mul, div;
    double top; /* the largest level */
    bool zero;  /* everything becomes 0 */
} pqc_mse_quant;

typedef struct {
    pqc_int_format format;
    /* The n filled bins' centres, in the order of the bins, those left out that always become 0; and their counts. */
    const float *x;
    const double *weight;
    ptrdiff_t n;
    const float *rising;    /* the centres' magnitudes, rising: x itself if it is so; and */
    const double *count;    /* their counts */
    int32_t *order;         /* room for the number of each bin, where x is not rising */
    const pqc_above *above; /* n + 1 */
    const int32_t *start;   /* cells + 1: the first in each of equal cells from rising[0] on */
    ptrdiff_t cells;
    double per_cell;
    const float *levels; /* steps + 1, or NULL: more levels than are worth looking up */
    ptrdiff_t steps;
} pqc_mse_table;

/* Room for a table of `bins` bins, in bytes. */
size_t pqc_mse_table_scratch(ptrdiff_t bins);
/* PQC_MSE_RISING: the centres rise from 0 or more.  PQC_MSE_SORTED: they do not, but the error is one of their magnitudes.
 * PQC_MSE_PLAIN: they are not finite or so large that a level might overflow; then the table has x and weight alone.  Or
 * PQC_STOPPED.  The table lies in scratch. */
enum { PQC_MSE_PLAIN, PQC_MSE_RISING, PQC_MSE_SORTED };
int pqc_mse_table_init(pqc_mse_table *t, const pqc_search *s, const float *centres,
                       pqc_int_format format, void *scratch);

/* The n numbers in `order` sorted by |values[number]|, equal ones as they are; `work` has room for twice as many.  False if
 * stopped. */
bool pqc_mse_sort(const pqc_search *s, const float *values, int32_t *order, uint64_t *work,
                  ptrdiff_t n);

pqc_mse_quant pqc_mse_quant_of(const pqc_mse_table *t, float amax);

/* The sum of weight * (quantised - x)^2 in the order of the bins: this decides. */
double pqc_mse_in_full(const pqc_mse_table *t, float amax);

/* The same of n <= PQC_MSE_RUN quantisers of rising amax, but for rounding: at most pqc_mse_rounding away. */
enum { PQC_MSE_RUN = 8 };
void pqc_mse_estimate(const pqc_mse_table *t, const pqc_mse_quant *q, ptrdiff_t n, double *errors);
double pqc_mse_rounding(const pqc_mse_table *t);

/* The estimate with exact levels and borders; and what no amax between two of these has less of. */
double pqc_mse_exact(const pqc_mse_table *t, const pqc_mse_quant *q);
double pqc_mse_between(const pqc_mse_table *t, const pqc_mse_quant *low, double low_error,
                       const pqc_mse_quant *high, double high_error);

/* Whether all of x become 0. */
bool pqc_mse_all_zero(const pqc_mse_table *t, const pqc_mse_quant *q);

#endif
