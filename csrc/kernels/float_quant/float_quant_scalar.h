/* `nearest` of float_quant.h for one float. */
#ifndef PQC_FLOAT_QUANT_SCALAR_H
#define PQC_FLOAT_QUANT_SCALAR_H

#include "float_quant.h"

#include "bits.h"

#include <math.h>

/* The comparisons are written so that NaN passes. */
static inline float pqc_nearest(float v, const pqc_float_format *f)
{
    v = v < f->lo ? f->lo : v;
    v = v > f->hi ? f->hi : v;
    uint32_t exponent = pqc_bits_of(v) & PQC_EXPONENT_BITS, normal = (uint32_t)pqc_normal_bits(f);
    exponent = exponent > normal ? exponent : normal;
    float magic = pqc_float_of(exponent + (uint32_t)pqc_magic_bits(f));
    return copysignf((v + magic) - magic, v);
}

static inline double pqc_nearest_f64(double v, const pqc_float_format *f)
{
    v = v < (double)f->lo ? (double)f->lo : v;
    v = v > (double)f->hi ? (double)f->hi : v;
    uint64_t exponent = pqc_bits_of_f64(v) & (uint64_t)0x7ff << 52;
    uint64_t normal = (uint64_t)(1023 + f->lowest_exponent) << 52;
    exponent = exponent > normal ? exponent : normal;
    double magic =
        pqc_double_of(exponent + ((uint64_t)(52 - f->mantissa) << 52) + ((uint64_t)1 << 51));
    return copysign((v + magic) - magic, v);
}

#endif
