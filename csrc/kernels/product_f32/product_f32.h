/* Rows of floats by a packed matrix, of one panel of PQC_PRODUCT_NR outputs:
 *
 *     y[r * y_row + c] = e + o,  e and o the sums of x[r * x_row + k] * w[k * PQC_PRODUCT_NR + c] over even and over odd k
 *
 * Each sum begins with 0 and goes up in k by fused multiply-adds; a row's result does not depend on other rows.  rows and k may be
 * 0.  No overlap.  Same bits from every ISA. */
#ifndef PQC_PRODUCT_F32_H
#define PQC_PRODUCT_F32_H

#include "pqc.h"

enum { PQC_PRODUCT_NR = 64 };

typedef struct {
    const float *x, *w;
    float *y;
    ptrdiff_t x_row, y_row, rows, k;
} pqc_product;

typedef void pqc_product_f32_fn(const pqc_product *p);

pqc_product_f32_fn pqc_product_f32_scalar, pqc_product_f32_avx2, pqc_product_f32_avx512;

#endif
