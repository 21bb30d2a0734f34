/* A block of elements that share a step, and element codes of at most 8 bits.
 *
 *     block   y[i] = nearest(x[i] / step) * back       `nearest` of float_quant/: ties to even, saturating
 *     encode  codes[i] = the bits of the element q[i]: sign, exponent, mantissa, in the low bits of a byte
 *     decode  y[i] = table[codes[i]] * step
 *
 *   x, y, q, codes  n elements each, any alignment; y may be x, no other overlap; n may be 0
 *   f      of pqc_float_format_init, or of pqc_int_elements for integers
 *   back   step, or 1 for the elements themselves
 *   q      values of the format f; NaN becomes f.nan_code
 *   table  the values of all 256 codes
 *
 * A step of 0 gives +0 whatever x is; NaN in x or step gives NaN.  The division is a division, both
 * operations rounded once.  Same bits from every ISA; on NEON the scalar bodies. */
#ifndef PQC_BLOCK_QUANT_H
#define PQC_BLOCK_QUANT_H

#include "quant_params/quant_params.h"

typedef void pqc_block_quant_f32_fn(const float *x, float *y, ptrdiff_t n, float step, float back,
                                    const pqc_float_format *f);
typedef void pqc_block_quant_f64_fn(const double *x, double *y, ptrdiff_t n, float step, float back,
                                    const pqc_float_format *f);
typedef void pqc_encode_elements_fn(const float *q, uint8_t *codes, ptrdiff_t n,
                                    const pqc_float_format *f);
typedef void pqc_decode_elements_fn(const uint8_t *codes, float *y, ptrdiff_t n, const float *table,
                                    float step);

pqc_block_quant_f64_fn pqc_block_quant_f64_scalar;

pqc_block_quant_f32_fn pqc_block_quant_f32_scalar, pqc_block_quant_f32_avx2,
    pqc_block_quant_f32_avx512;
pqc_encode_elements_fn pqc_encode_elements_scalar, pqc_encode_elements_avx2,
    pqc_encode_elements_avx512;
pqc_decode_elements_fn pqc_decode_elements_scalar, pqc_decode_elements_avx2,
    pqc_decode_elements_avx512;

/* How encode works: for a normal number, exponent and mantissa are its float32 bits shifted, minus `rebias`; for a
 * subnormal q they are the mantissa bits of |q| + the smallest normal number. */
typedef struct {
    float normal; /* the smallest normal number */
    int32_t shift, rebias, rebias_subnormal, sign_shift;
} pqc_encoding;

static inline pqc_encoding pqc_encoding_of(const pqc_float_format *f)
{
    int32_t rebias = (126 + f->lowest_exponent) << f->mantissa;
    float normal = 1.0f;
    for (int e = f->lowest_exponent; e < 0; e++)
        normal *= 0.5f;
    return (pqc_encoding){.normal = normal,
                          .shift = 23 - f->mantissa,
                          .rebias = rebias,
                          .rebias_subnormal = rebias + (1 << f->mantissa),
                          .sign_shift = 31 - (f->bits - 1)};
}

#endif
