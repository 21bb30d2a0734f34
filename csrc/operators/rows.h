/* Softmax, layer normalisation and transposes of float32 rows (rows_f32.h, transpose_f32.h), on all threads. */
#ifndef PQC_ROWS_H
#define PQC_ROWS_H

#include "rows_f32/rows_f32.h"

/* The logarithms of softmax, n >= 1: (x - max) + log of the largest softmax, which is 1 over the sum of exp(x - max); the
 * logarithm is rounded once from double.  A row with NaN or infinity is NaN, but -infinity alone. */
void pqc_log_softmax_row(const float *x, float *y, ptrdiff_t n);

/* Over `rows` contiguous rows of n floats; no overlap.  n or rows may be 0. */
void pqc_softmax_rows(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n);
void pqc_log_softmax_rows(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n);
void pqc_layer_norm_rows(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n,
                         const pqc_layer_norm *p);

/* y[o][j][i] = x[o][i][j] for o < outer, i < rows, j < columns. */
void pqc_transpose_rows(const float *x, float *y, ptrdiff_t outer, ptrdiff_t rows,
                        ptrdiff_t columns);

#endif
