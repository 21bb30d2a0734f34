/* Elementary functions in float32, of one element: a polynomial, fused multiply-adds, no table.  Bodies of every instruction set
 * take these in and let the compiler put them into vectors, so that all have the same bits.  The largest errors, over floats of all
 * exponents, against the C library's double functions:
 *
 *     pqc_exp_of      exp(x), x <= 43    1.0 ulp; below -103.98 it is 0
 *     pqc_sigmoid_of  1 / (1 + exp(-x))  1.5 ulp
 *     pqc_tanh_of     tanh(x)            1.3 ulp
 *     pqc_erf_of      erf(x)             1.2 ulp
 *
 * NaN stays NaN, infinities go to the limits; tanh and erf keep the sign of zero. */
#ifndef PQC_ELEMENTARY_SCALAR_H
#define PQC_ELEMENTARY_SCALAR_H

#include "pqc.h"

#include <math.h>
#include <string.h>

PQC_INLINE uint32_t pqc_bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/* One of two numbers that are both there: no branch, so that compilers make vectors of it. */
PQC_INLINE float pqc_either(bool first, float a, float b)
{
    uint32_t mask = 0u - (uint32_t)first;
    uint32_t bits = (pqc_bits_of_float(a) & mask) | (pqc_bits_of_float(b) & ~mask);
    float y;
    memcpy(&y, &bits, 4);
    return y;
}

/* exp(x) for x <= 43.  x = n ln 2 + r with |r| <= ln 2 / 2, r in two parts; exp(r) = 1 + r + r^2 q(r) with a minimax q.  Adding
 * `round` rounds to an integer, and has n + 191 stand in the low bits: those of 2^(n + 64) after a shift.  The 2^-64 left over
 * rounds results that are subnormal, once.  NaN goes through. */
PQC_INLINE float pqc_exp_of(float x)
{
    const float round = 0x1.8p23f + 191.0f;
    x = x < -104.0f ? -104.0f : x;
    float shifted = fmaf(x, 0x1.715476p0f, round), n = shifted - round;
    float high = fmaf(n, -0x1.62e430p-1f, x), low = n * 0x1.05c610p-29f, r = high + low;
    float q = fmaf(0x1.6a1a6ep-10f, r, 0x1.123fc6p-7f);
    q = fmaf(fmaf(fmaf(q, r, 0x1.555916p-5f), r, 0x1.55548ap-3f), r, 0x1.fffffcp-2f);
    float y = 1.0f + (high + fmaf(r * r, q, low)), power;
    uint32_t bits = pqc_bits_of_float(shifted) << 23;
    memcpy(&power, &bits, 4);
    return y * power * 0x1p-64f;
}

/* With e = exp(-|x|) and p = e / (1 + e): 1 - p, or e / (1 + e) = e - e p without the rounding of 1 + e. */
PQC_INLINE float pqc_sigmoid_of(float x)
{
    float e = pqc_exp_of(-fabsf(x)), p = e / (1.0f + e), m = pqc_either(x < 0.0f, e, 1.0f);
    return fmaf(-m, p, m);
}

/* x + x^3 p(x^2) below 0.625, from there on 1 - 2 / (exp(2 |x|) + 1), which is 1 from 9.1 on. */
PQC_INLINE float pqc_tanh_of(float x)
{
    float a = fabsf(x), s = x * x, t = pqc_either(a > 20.0f, 20.0f, a);
    float p = fmaf(fmaf(-0x1.76abf6p-8f, s, 0x1.5256cep-6f), s, -0x1.b84448p-5f);
    p = fmaf(fmaf(p, s, 0x1.110768p-3f), s, -0x1.555534p-2f);
    float small = fmaf(a * s, p, a), large = 1.0f - 2.0f / (pqc_exp_of(2.0f * t) + 1.0f);
    return copysignf(pqc_either(a < 0.625f, small, large), x);
}

/* x + x p(x^2) below 1, from there on 1 - exp(-r(|x|)) with r = -log(1 - erf), of which 4 is the last argument that matters. */
PQC_INLINE float pqc_erf_of(float x)
{
    float a = fabsf(x), s = x * x, t = pqc_either(a > 4.0f, 4.0f, a);
    float p = fmaf(fmaf(0x1.4ae4c6p-14f, s, -0x1.a485e8p-11f), s, 0x1.5419f4p-8f);
    p = fmaf(fmaf(p, s, -0x1.b7fbb4p-6f), s, 0x1.ce2d20p-4f);
    p = fmaf(fmaf(p, s, -0x1.81273ep-2f), s, 0x1.06eba8p-3f);
    float r = fmaf(fmaf(0x1.6bd7fap-16f, t, -0x1.cec60ep-12f), t, 0x1.138cc0p-8f);
    r = fmaf(fmaf(r, t, -0x1.9d0306p-6f), t, 0x1.bc1516p-4f);
    r = fmaf(fmaf(fmaf(r, t, 0x1.443566p-1f), t, 0x1.212c0cp0f), t, -0x1.8a5706p-13f);
    float small = fmaf(a, p, a), large = 1.0f - pqc_exp_of(-r);
    return copysignf(pqc_either(a < 1.0f, small, large), x);
}

#endif
