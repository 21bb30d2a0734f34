/* The parameters of quantisation kernels, computed from amax and a number format. */
#ifndef PQC_QUANT_PARAMS_H
#define PQC_QUANT_PARAMS_H

#include "pqc.h"

/* quantised = clamp(rint(x * mul), lo, hi);  fake quantised = quantised / div */
typedef struct {
    float mul, div, lo, hi;
} pqc_int_quant;

typedef struct {
    double mul, div, lo, hi;
} pqc_int_quant_f64;

/* quantised = nearest(x * mul);  fake quantised = quantised / div.  {1, 1} where there is no amax. */
typedef struct {
    float mul, div;
} pqc_float_scale;

typedef struct {
    double mul, div;
} pqc_float_scale_f64;

/* An element type of at most 8 bits: a float with a sign bit, or an integer. */
typedef struct {
    float lo, hi;                      /* the finite range */
    float tiny;                        /* magnitudes below it become 0, before scaling */
    int32_t mantissa, lowest_exponent; /* of normal numbers */
    int32_t bits;                      /* code length */
    int32_t nan_code;                  /* 0 if the format has no NaN */
    int32_t top_exponent;              /* of the largest value */
} pqc_float_format;

/* How the values of an array become codes, and what the codes stand for: the twin of Python's `Quantization`, as operators want it.
 *
 *     code = clamp(rint(x * mul), lo, hi), or the number of `floats` nearest to x * mul;   value = code / div
 *
 *   channels, inner   the axis: element i has the scale of channel (i / inner) % channels
 *   block             instead: how many neighbours along the last axis share a scale; 0 where none do
 *   mul, div          one for each channel: floats, or doubles if x is
 *   lo, hi            of integers; a zero point z shifts both by -z: codes here are less their zero point */
typedef struct {
    pqc_float_format floats;
    double lo, hi;
    ptrdiff_t channels, inner, block;
    const void *mul, *div;
} pqc_quantization;

/* mul and div for one channel of amax. */
typedef struct {
    int num_bits; /* 0: everything becomes 0 */
    bool is_unsigned;
    bool narrow_range;
} pqc_int_format;

/* mul = bound / amax, bound = 2^(bits-1+unsigned) - 1; div = mul.  amax <= 2^-24 quantises to 0
 * with scale 1 (mul 0, div 1), NaN gives NaN.  lo = 0, -bound or -bound - 1.  The sign of amax is
 * the caller's to check. */
pqc_int_quant pqc_int_quant_init(float amax, pqc_int_format format);
pqc_int_quant_f64 pqc_int_quant_init_f64(double amax, pqc_int_format format);

/* The same for n values of amax; mul and div hold n values each, the bounds are common. */
void pqc_int_scales(const float *amax, float *mul, float *div, ptrdiff_t n, pqc_int_format format);
void pqc_int_scales_f64(const double *amax, double *mul, double *div, ptrdiff_t n,
                        pqc_int_format format);

/* E5M2, E4M3, E3M2, E2M3 or E2M1, given their exponent and mantissa bits.  E5M2 has infinities and NaN, and E4M3 one
 * NaN, as their highest codes; all codes of the others are numbers. */
pqc_float_format pqc_float_format_init(int exponent, int mantissa);
/* Integers from lo to hi, at most 8 bits: the elements of block_quant/. */
pqc_float_format pqc_int_elements(float lo, float hi);

/* mul = div = (1 / amax) * f->hi, rounded after each step, as the original does for 448.  If that is infinite, mul =
 * 1 and div = inf, so that everything becomes 0. */
pqc_float_scale pqc_float_scale_init(float amax, const pqc_float_format *f);
pqc_float_scale_f64 pqc_float_scale_init_f64(double amax, const pqc_float_format *f);
void pqc_float_scales(const float *amax, float *mul, float *div, ptrdiff_t n,
                      const pqc_float_format *f);

/* True if, for every |q| <= hi, q / div equals one multiplication by the rounded reciprocal followed by a correction
 * with two FMAs (Markstein), without overflow or underflow on the way. */
static inline bool pqc_reciprocal_is_safe(float div)
{
    return div > 0x1p-80f && div < 0x1p80f;
}

#endif
