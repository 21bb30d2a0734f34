/* Products of many pairs of float32 matrices, on all threads; the bits of gemm_f32.h. */
#ifndef PQC_MATMUL_H
#define PQC_MATMUL_H

#include "pqc.h"

/* A matrix of a pair, found by strides in floats; `batch`: from a pair to the next along two axes. */
typedef struct {
    ptrdiff_t batch[2], row, column;
} pqc_matrices;

/* y[i][j] = sum over l < k of a[i][l] * b[l][j], i < m, j < n; a.column and y.column are 1. */
typedef struct {
    ptrdiff_t batch[2], m, n, k;
    pqc_matrices a, b, y;
} pqc_matmul;

void pqc_matmul_f32(const pqc_matmul *p, const float *a, const float *b, float *y);

#endif
