/* Abs-max over any axes, and minimum, of whole arrays of any float type, on all threads. */
#ifndef PQC_REDUCE_H
#define PQC_REDUCE_H

#include "pqc.h"

/* A dimension, or several neighbours merged. */
typedef struct {
    ptrdiff_t length;
    bool kept; /* otherwise reduced */
} pqc_dimension;

#define PQC_MAX_DIMENSIONS 64

/* amax[k] = max |x| over the reduced dimensions, for every index k into the kept ones, in C order.
 *   x      contiguous; neighbouring dimensions differ in `kept`; count may be 0: one element
 *   amax   floats, doubles if dtype is PQC_F64
 * Any NaN wins.  An empty reduction gives 0.  The work is split over the outermost kept dimension,
 * so threads never share a result. */
void pqc_reduce_amax(const void *x, pqc_dtype dtype, const pqc_dimension *dimensions, int count,
                     void *amax);

/* min x of n elements: +inf if n is 0, NaN if any element is NaN. */
double pqc_reduce_min(const void *x, pqc_dtype dtype, ptrdiff_t n);

#endif
