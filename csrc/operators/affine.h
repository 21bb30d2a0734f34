/* Affine fake quantisation of a whole array (affine/affine.h), each element with the range of its channel. */
#ifndef PQC_OPERATORS_AFFINE_H
#define PQC_OPERATORS_AFFINE_H

#include "affine/affine.h"

/* Element i belongs to channel (i / inner) % channels; one channel has all. */
typedef struct {
    const void *x;
    void *y; /* n floats each, doubles if is_double */
    ptrdiff_t n, channels, inner;
    const void *ranges;     /* pairs of min and max, or of scale and zero point, of the type of x */
    const double *range_of; /* the number of each channel's pair */
    int num_bits;
    bool is_double;
    bool fake;    /* pqc_shifted_quant: divides by the scale */
    float levels; /* the code of the upper end, if that of the lower end is 0 */
} pqc_affine_work;

void pqc_fake_affine(const pqc_affine_work *work);

/* clamp(rint(x * scale), -zero, levels - zero), by int_quant/; 0 where the scale is 0, and never -0.  On all threads. */
void pqc_shifted_quant(const pqc_affine_work *work);

#endif
