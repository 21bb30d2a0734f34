/* The loops of every body; compilers make vectors of them. */
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
        memcpy(y, codes, (size_t)n * sizeof *y);
    else if (form->content == PQC_U8_CODES)
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = quotient((float)(bytes[i] - zero), div, reciprocal);
    else
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = quotient((float)(words[i] - zero), div, reciprocal);
}

/* What NaN becomes does not matter. */
PQC_INLINE int32_t code_of(float scaled, float lo, float hi, int32_t zero)
{
    scaled = scaled >= lo ? scaled : lo;
    scaled = scaled <= hi ? scaled : hi;
    return (int32_t)rintf(scaled) + zero;
}

PQC_INLINE unsigned flags_of(const pqc_pixels *form, const float *restrict x, ptrdiff_t n)
{
    int nan = 0, negative = 0;
    float mul = form->mul;
    for (ptrdiff_t i = 0; i < n; i++) {
        float scaled = x[i] * mul;
        nan |= scaled != scaled;
        negative |= x[i] < 0.0f;
    }
    return (nan ? PQC_U8_NAN : 0) | (negative && form->refuses_negative ? PQC_U8_NEGATIVE : 0);
}

PQC_INLINE unsigned encode_loops(const pqc_pixels *form, const float *restrict x,
                                 void *restrict codes, ptrdiff_t n)
{
    uint8_t *bytes = codes;
    int16_t *words = codes;
    float mul = form->mul, lo = form->lo, hi = form->hi;
    int32_t zero = form->zero;
    if (form->content == PQC_FLOATS) {
        memcpy(codes, x, (size_t)n * sizeof *x);
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
