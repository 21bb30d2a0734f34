/* Products of float32 matrices whose sums have one order, so that neither the instruction set nor what is computed beside a row
 * or a column changes a bit:
 *
 *     acc = start ? start[j] : y[i * y_row + j];   for l in 0 ... k - 1: acc = fma(a[i * a_row + l], b[l * NR + j], acc);
 *     y = plus_zero ? acc + 0 : acc, which makes a zero of -0
 *
 *   a   rows of k floats          b   a panel: k rows of PQC_GEMM_NR floats, those from n on are read and without effect
 *   y   rows of n floats, 1 <= n <= PQC_GEMM_NR; y overlaps neither   start   PQC_GEMM_NR floats, or NULL
 *
 * NaN and infinities as fma has them.  k may be 0. */
#ifndef PQC_GEMM_F32_H
#define PQC_GEMM_F32_H

#include "pqc.h"

enum { PQC_GEMM_NR = 32 };

typedef struct {
    const float *a, *b, *start;
    float *y;
    ptrdiff_t rows, n, k, a_row, y_row;
    bool plus_zero;
} pqc_gemm;

typedef void pqc_gemm_f32_fn(const pqc_gemm *g);

pqc_gemm_f32_fn pqc_gemm_f32_scalar, pqc_gemm_f32_avx2, pqc_gemm_f32_avx512, pqc_gemm_f32_neon;

#endif
