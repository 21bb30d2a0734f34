/* Scalar loops of encode and decode.  Each body includes them, and the compiler vectorises them for its ISA. */
#ifndef PQC_CODES_F32_SCALAR_H
#define PQC_CODES_F32_SCALAR_H

#include "codes_f32.h"

#include <math.h>
#include <string.h>

/* q / div by Markstein's correction: see pqc_reciprocal_is_safe. */
PQC_INLINE float quotient(float q, float div, float reciprocal)
{
    float y = q * reciprocal;
    return fmaf(-fmaf(div, y, -q), reciprocal, y);
}

PQC_INLINE void decode_loops(const pqc_pixels *form, const void *restrict codes, float *restrict y,
                             ptrdiff_t n)
{
    const uint8_t *bytes = codes;
    const int16_t *words = codes;
    int32_t zero = form->zero;
    float div = form->div, reciprocal = 1.0f / form->div;
    if (form->content == PQC_FLOATS)
        memmove(y, codes, (size_t)n * sizeof *y);
    else if (form->content == PQC_U8_CODES)
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = quotient((float)(bytes[i] - zero), div, reciprocal);
    else
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = quotient((float)(words[i] - zero), div, reciprocal);
}

/* Adding 1.5 * 2^23 rounds to an integer, whose two's complement is then in the low 16 bits.  The code of NaN does
 * not matter. */
PQC_INLINE uint32_t code_of(float scaled, float lo, float hi, uint32_t zero)
{
    scaled = scaled > lo ? scaled : lo;
    scaled = scaled < hi ? scaled : hi;
    float shifted = scaled + 0x1.8p23f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    return bits + zero;
}

PQC_INLINE bool has_negative(const float *restrict x, ptrdiff_t n)
{
    int found = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        found |= x[i] < 0.0f;
    return found != 0;
}

/* Compares bits without the sign: those of NaN exceed those of infinity. */
PQC_INLINE bool has_nan(const float *restrict x, ptrdiff_t n)
{
    int32_t largest = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, 4);
        bits &= 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return largest > 0x7f800000;
}

PQC_INLINE bool has_infinity(const float *restrict x, ptrdiff_t n)
{
    int found = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        found |= fabsf(x[i]) == INFINITY;
    return found != 0;
}

PQC_INLINE unsigned flags_of(const pqc_pixels *form, const float *restrict x, ptrdiff_t n)
{
    unsigned flags = has_nan(x, n) || (form->mul == 0.0f && has_infinity(x, n)) ? PQC_U8_NAN : 0;
    if (form->refuses_negative && has_negative(x, n))
        flags |= PQC_U8_NEGATIVE;
    return flags;
}

PQC_INLINE unsigned encode_loops(const pqc_pixels *form, const float *restrict x,
                                 void *restrict codes, ptrdiff_t n)
{
    uint8_t *bytes = codes;
    int16_t *words = codes;
    float mul = form->mul, lo = form->lo, hi = form->hi;
    uint32_t zero = (uint32_t)form->zero;
    if (form->content == PQC_FLOATS) {
        memmove(codes, x, (size_t)n * sizeof *x);
        return 0;
    }
    if (form->content == PQC_U8_CODES)
        for (ptrdiff_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)code_of(x[i] * mul, lo, hi, zero);
    else
        for (ptrdiff_t i = 0; i < n; i++)
            words[i] = (int16_t)code_of(x[i] * mul, lo, hi, zero);
    return flags_of(form, x, n);
}

#endif
