/* Functions of rows of n floats, n >= 1, that follow each other.
 *
 *     softmax      y = exp(x - max) * (1 / sum of these)
 *     layer_norm   y = c * factor [* weight] [+ bias],  c = x - (float)mean,
 *                  factor = (float)(1 / sqrt(mean of (float)(c * c) + epsilon)); both means in double
 *
 * Every operation is rounded once; exp is that of elementary_scalar.h.  Sums have 16 lanes: lane i adds up elements i, i + 16,
 * ... in this order; then lane i + 8 is added to lane i < 8, and so on by halves.  x, y, weight and bias do not overlap.
 * weight and bias may be NULL.  NaN, and infinity where the difference of two is NaN, makes a row NaN.  Same bits from
 * every ISA. */
#ifndef PQC_ROWS_F32_H
#define PQC_ROWS_F32_H

#include "pqc.h"

typedef struct {
    const float *weight, *bias;
    double epsilon;
} pqc_layer_norm;

typedef void pqc_softmax_f32_fn(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n);
typedef void pqc_layer_norm_f32_fn(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n,
                                   const pqc_layer_norm *p);

pqc_softmax_f32_fn pqc_softmax_f32_scalar, pqc_softmax_f32_avx2, pqc_softmax_f32_avx512;
pqc_layer_norm_f32_fn pqc_layer_norm_f32_scalar, pqc_layer_norm_f32_avx2, pqc_layer_norm_f32_avx512;

#endif
