/* Ranges: the largest magnitude and the smallest value.
 *
 *   amax       max |x[i]|; 0 if n is 0.  Any NaN wins; its sign is dropped.
 *   amax_each  acc[i] = max(|acc[i]|, |x[i]|), NaN wins: a running maximum for every element
 *   min        min x[i]; +inf if n is 0.  NAN if any x[i] is NaN; a minimum of -0 is given as +0.
 *
 *   x, acc  n elements each, any alignment, no overlap; n may be 0
 *
 * Magnitudes are compared as integers: |NaN| is larger than every number, so no order of the
 * comparisons can lose one.  Same bits from every ISA, however the range is cut. */
#ifndef PQC_AMAX_H
#define PQC_AMAX_H

#include "pqc.h"

/* From this many elements on, the x86 bodies align their loads after the first one: a load that crosses a cache line
 * takes as long as two, and NumPy's large arrays begin 16 bytes after a line. */
enum { PQC_AMAX_LONG = 256 };

typedef float pqc_amax_f32_fn(const float *x, ptrdiff_t n);
typedef void pqc_amax_each_f32_fn(const float *x, float *acc, ptrdiff_t n);
typedef float pqc_min_f32_fn(const float *x, ptrdiff_t n);
typedef double pqc_amax_f64_fn(const double *x, ptrdiff_t n);
typedef void pqc_amax_each_f64_fn(const double *x, double *acc, ptrdiff_t n);
typedef double pqc_min_f64_fn(const double *x, ptrdiff_t n);

pqc_amax_f64_fn pqc_amax_f64_scalar;
pqc_amax_each_f64_fn pqc_amax_each_f64_scalar;
pqc_min_f64_fn pqc_min_f64_scalar;

pqc_amax_f32_fn pqc_amax_f32_scalar, pqc_amax_f32_avx2, pqc_amax_f32_avx512, pqc_amax_f32_neon;
pqc_amax_each_f32_fn pqc_amax_each_f32_scalar, pqc_amax_each_f32_avx2, pqc_amax_each_f32_avx512,
    pqc_amax_each_f32_neon;
pqc_min_f32_fn pqc_min_f32_scalar, pqc_min_f32_avx2, pqc_min_f32_avx512, pqc_min_f32_neon;

#endif
