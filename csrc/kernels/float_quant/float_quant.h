/* Rounding to floats of 4 to 8 bits and back ("fake"): E5M2, E4M3, E3M2, E2M3, E2M1.
 *
 *     y[i] = |x[i]| < f.tiny ? +0 : nearest(x[i] * mul) / div
 *
 *   x, y  n elements each, any alignment; y may be x, no other overlap; n may be 0
 *   q     from pqc_float_scale_init, or {1, 1}; the `_each_` form takes a mul and a div for every element
 *   f     from pqc_float_format_init; f.tiny is 2^-24 for E4M3, 0 for the others
 *
 * `nearest` rounds to nearest, ties to even, subnormals included, and saturates at f.lo and f.hi,
 * infinities too; the sign of zero is kept.  NaN stays NaN; so does a NaN that x * mul or the
 * division makes.  The division is a division, correctly rounded.  Same bits from every ISA. */
#ifndef PQC_FLOAT_QUANT_H
#define PQC_FLOAT_QUANT_H

#include "quant_params/quant_params.h"

typedef void pqc_float_quant_f32_fn(const float *x, float *y, ptrdiff_t n, pqc_float_scale q,
                                    const pqc_float_format *f);
typedef void pqc_float_quant_each_f32_fn(const float *x, float *y, ptrdiff_t n, const float *mul,
                                         const float *div, const pqc_float_format *f);
typedef void pqc_float_quant_f64_fn(const double *x, double *y, ptrdiff_t n, pqc_float_scale_f64 q,
                                    const pqc_float_format *f);

pqc_float_quant_f64_fn pqc_float_quant_f64_scalar;

pqc_float_quant_f32_fn pqc_float_quant_f32_scalar, pqc_float_quant_f32_avx2,
    pqc_float_quant_f32_avx512, pqc_float_quant_f32_neon;
pqc_float_quant_each_f32_fn pqc_float_quant_each_f32_scalar, pqc_float_quant_each_f32_avx2,
    pqc_float_quant_each_f32_avx512, pqc_float_quant_each_f32_neon;

/* Adding 1.5 * 2^(e + 23 - m) to a float32 of exponent e, and subtracting it again, rounds to m mantissa bits.  e is
 * at least the exponent of the smallest normal number, where subnormals begin.  The addend is made of the number's
 * exponent bits, at least `normal`, plus `magic`; NaN gives a harmless one. */
enum { PQC_EXPONENT_BITS = 0x7f800000 };

static inline int32_t pqc_normal_bits(const pqc_float_format *f)
{
    return (127 + f->lowest_exponent) << 23;
}

static inline int32_t pqc_magic_bits(const pqc_float_format *f)
{
    return ((23 - f->mantissa) << 23) + (1 << 22);
}

#endif
