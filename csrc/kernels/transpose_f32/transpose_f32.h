/* y[j * y_row + i] = x[i * x_row + j] for i < rows, j < columns: elements of 4 bytes, whatever they are.  x and y do not overlap;
 * rows and columns may be 0. */
#ifndef PQC_TRANSPOSE_F32_H
#define PQC_TRANSPOSE_F32_H

#include "pqc.h"

typedef void pqc_transpose_f32_fn(const float *x, ptrdiff_t x_row, ptrdiff_t rows,
                                  ptrdiff_t columns, float *y, ptrdiff_t y_row);

pqc_transpose_f32_fn pqc_transpose_f32_scalar, pqc_transpose_f32_avx2;

#endif
