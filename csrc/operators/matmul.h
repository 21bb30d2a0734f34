/* Batched products of float32 matrices, on all threads; bit for bit those of gemm_f32.h. */
#ifndef PQC_MATMUL_H
#define PQC_MATMUL_H

#include "pqc.h"

/* An operand, addressed by strides in floats; `batch` are the strides between matrices along two batch axes. */
typedef struct {
    ptrdiff_t batch[2], row, column;
} pqc_matrices;

/* y[i][j] = sum over l < k of a[i][l] * b[l][j], i < m, j < n; a.column and y.column are 1.
 *
 *   start  NULL, or the number that each row's sums begin with, m for each pair of the inner axis; then no result is -0
 *   taps   a divisor of k, 0 is 1: row l of b is b[l % (k / taps) * taps + l / (k / taps)], as rows of im2col are taken tap by
 *          tap: all channels of the first tap, then those of the second */
typedef struct {
    ptrdiff_t batch[2], m, n, k;
    pqc_matrices a, b, y;
    const float *start;
    ptrdiff_t taps;
} pqc_matmul;

void pqc_matmul_f32(const pqc_matmul *p, const float *a, const float *b, float *y);

#endif
