/* Affine fake quantisation of a whole array (affine/affine.h), each element with the range of its channel. */
#ifndef PQC_OPERATORS_AFFINE_H
#define PQC_OPERATORS_AFFINE_H

#include "affine/affine.h"

/* Element i belongs to channel (i / inner) % channels; one channel has all. */
typedef struct {
    const void *x;
    void *y; /* n floats each, doubles if is_double */
    ptrdiff_t n, channels, inner;
    const void *ranges;     /* pairs of min and max, of the type of x */
    const double *range_of; /* the number of each channel's pair */
    int num_bits;
    bool is_double;
} pqc_affine_work;

void pqc_fake_affine(const pqc_affine_work *work);

#endif
