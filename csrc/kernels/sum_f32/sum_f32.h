/* Sums of pixels, channel by channel, in the order in which NumPy adds up to 128 numbers: up to 7 one after the other; more in
 * eight sums, of every eighth each, ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)), then what is left.
 *
 *   x        n pixels, `pixel` bytes from one to the next, of which `channels` floats are added
 *   sums     of each channel, PQC_SUMMED of them at most
 *
 * 1 <= n <= PQC_RUN.  Same bits from every ISA. */
#ifndef PQC_SUM_F32_H
#define PQC_SUM_F32_H

#include "pqc.h"

enum { PQC_RUN = 128, PQC_SUMMED = 128 };

typedef void pqc_sum_f32_fn(const char *x, ptrdiff_t pixel, ptrdiff_t n, ptrdiff_t channels,
                            float *restrict sums);

pqc_sum_f32_fn pqc_sum_f32_scalar, pqc_sum_f32_avx2, pqc_sum_f32_avx512;

#endif
