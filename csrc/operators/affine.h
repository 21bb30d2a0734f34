/* Affine fake quantisation of a whole array (affine/affine.h), each element with the range of its channel. */
#ifndef PQC_OPERATORS_AFFINE_H
#define PQC_OPERATORS_AFFINE_H

#include "affine/affine.h"

/* Element i belongs to channel (i / inner) % channels. */
typedef struct {
    const void *x;
    void *y; /* n elements each: doubles if is_double, else floats */
    ptrdiff_t n, channels, inner;
    const void *ranges;     /* (min, max) or (scale, zero point) pairs, of the type of x */
    const double *range_of; /* for each channel, the index of its pair */
    int num_bits;
    bool is_double;
    /* pqc_shifted_quant: divide by the scale (fake quantise); otherwise return codes */
    bool fake;
    float levels; /* code of the upper end of the range, where that of the lower end is 0 */
} pqc_affine_work;

void pqc_fake_affine(const pqc_affine_work *work);

/* clamp(rint(x * scale), -zero, levels - zero), by int_quant/; 0 where the scale is 0, and never -0.  On all threads. */
void pqc_shifted_quant(const pqc_affine_work *work);

#endif
