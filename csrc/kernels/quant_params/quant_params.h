/* The numbers a quantisation kernel works with, from amax and the number of bits. */
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

/* quantised = e4m3(x * mul);  fake quantised = quantised / div.  {1, 1} where there is no amax. */
typedef struct {
    float mul, div;
} pqc_e4m3;

typedef struct {
    double mul, div;
} pqc_e4m3_f64;

/* What mul and div are for one element or channel of amax. */
typedef struct {
    int num_bits; /* 0 gives zeros */
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

/* mul = div = (1 / amax) * 448, each step rounded, as the original does it.  No rule for a zero
 * amax: infinity. */
pqc_e4m3 pqc_e4m3_init(float amax);
pqc_e4m3_f64 pqc_e4m3_init_f64(double amax);
void pqc_e4m3_scales(const float *amax, float *mul, float *div, ptrdiff_t n);

/* True if q / div equals, for every |q| <= hi, one multiplication by the rounded reciprocal and one
 * correction by two FMAs (Markstein): nothing over- or underflows on the way. */
static inline bool pqc_reciprocal_is_safe(float div)
{
    return div > 0x1p-80f && div < 0x1p80f;
}

#endif
