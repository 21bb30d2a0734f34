/* The last step of a row whose sums were stored as floats, because it has a scale of its own:
 *
 *     y[i] = fma(y[i], (float)(row * inverse[i]), bias[i])
 *
 *   y, inverse, bias  n elements each, any alignment, no overlap; n may be 0
 *
 * The scale is rounded once from double, the whole once: what requantize/ gives.  Same bits from every
 * ISA; on NEON the scalar body. */
#ifndef PQC_RESCALE_ROW_H
#define PQC_RESCALE_ROW_H

#include "pqc.h"

typedef void pqc_rescale_row_fn(float *y, ptrdiff_t n, double row, const double *inverse,
                                const float *bias);

pqc_rescale_row_fn pqc_rescale_row_scalar, pqc_rescale_row_avx2;

#endif
