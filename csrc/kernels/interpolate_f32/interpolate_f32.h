/* Interpolation along one axis: weighted sums of rows of floats.  Of output row i < count, element e < n:
 *
 *     y[i][e] = x[place[i][0]][e] * weight[i][0] + x[place[i][1]][e] * weight[i][1] + ...
 *
 * `taps` products, each rounded, added from the left to the right.  With one tap a row is copied, whatever its weight.
 *
 *   x       rows, `row` bytes from one to the next
 *   place, weight    count x taps
 *   y       count rows of n floats, one behind the other; does not overlap x
 *
 * taps >= 1; count and n may be 0.  Same bits from every ISA. */
#ifndef PQC_INTERPOLATE_F32_H
#define PQC_INTERPOLATE_F32_H

#include "pqc.h"

typedef struct {
    const char *x;
    ptrdiff_t row;
    const ptrdiff_t *place;
    const float *weight;
    ptrdiff_t taps;
} pqc_interpolation;

typedef void pqc_interpolate_f32_fn(const pqc_interpolation *p, ptrdiff_t count, ptrdiff_t n,
                                    float *restrict y);

pqc_interpolate_f32_fn pqc_interpolate_f32_scalar, pqc_interpolate_f32_avx2,
    pqc_interpolate_f32_avx512;

#endif
