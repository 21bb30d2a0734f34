/* Elementary functions in float32, of one element: a polynomial, of erf one of sixteen, and fused multiply-adds.  Bodies of every
 * instruction set take these in and let the compiler put them into vectors, or say the same in intrinsics, so that all have the
 * same bits.  The largest errors, over floats of all exponents, against the C library's double functions:
 *
 *     pqc_exp_of      exp(x), x <= 43    1.0 ulp; below -103.98 it is 0
 *     pqc_sigmoid_of  1 / (1 + exp(-x))  1.5 ulp
 *     pqc_tanh_of     tanh(x)            1.3 ulp
 *     pqc_erf_of      erf(x)             1.0 ulp
 *
 * NaN stays NaN, infinities go to the limits; tanh and erf keep the sign of zero. */
#ifndef PQC_ELEMENTARY_SCALAR_H
#define PQC_ELEMENTARY_SCALAR_H

#include "bits.h"
#include "pqc.h"

#include <math.h>

/* Selects one of two computed numbers without a branch, so that loops vectorise. */
PQC_INLINE float pqc_either(bool first, float a, float b)
{
    uint32_t mask = 0u - (uint32_t)first;
    return pqc_float_of((pqc_bits_of(a) & mask) | (pqc_bits_of(b) & ~mask));
}

/* exp(x) for x <= 43.  x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 being split in two; exp(r) = 1 + r + r^2 q(r) with a
 * minimax q.  Adding `round` rounds to an integer and leaves n + 191 in the low bits, which after a shift are the
 * bits of 2^(n + 64).  The remaining factor 2^-64 rounds subnormal results once.  NaN passes. */
PQC_INLINE float pqc_exp_of(float x)
{
    const float round = 0x1.8p23f + 191.0f;
    x = x < -104.0f ? -104.0f : x;
    float shifted = fmaf(x, 0x1.715476p0f, round), n = shifted - round;
    float high = fmaf(n, -0x1.62e430p-1f, x), low = n * 0x1.05c610p-29f, r = high + low;
    float q = fmaf(0x1.6a1a6ep-10f, r, 0x1.123fc6p-7f);
    q = fmaf(fmaf(fmaf(q, r, 0x1.555916p-5f), r, 0x1.55548ap-3f), r, 0x1.fffffcp-2f);
    float y = 1.0f + (high + fmaf(r * r, q, low));
    return y * pqc_float_of(pqc_bits_of(shifted) << 23) * 0x1p-64f;
}

/* With e = exp(-|x|) and p = e / (1 + e): 1 - p, or e / (1 + e) = e - e p, which avoids the rounding of 1 + e. */
PQC_INLINE float pqc_sigmoid_of(float x)
{
    float e = pqc_exp_of(-fabsf(x)), p = e / (1.0f + e), m = pqc_either(x < 0.0f, e, 1.0f);
    return fmaf(-m, p, m);
}

/* x + x^3 p(x^2) below 0.625; above, 1 - 2 / (exp(2 |x|) + 1), which is 1 from 9.1 on. */
PQC_INLINE float pqc_tanh_of(float x)
{
    float a = fabsf(x), s = x * x, t = pqc_either(a > 20.0f, 20.0f, a);
    float p = fmaf(fmaf(-0x1.76abf6p-8f, s, 0x1.5256cep-6f), s, -0x1.b84448p-5f);
    p = fmaf(fmaf(p, s, 0x1.110768p-3f), s, -0x1.555534p-2f);
    float small = fmaf(a * s, p, a), large = 1.0f - 2.0f / (pqc_exp_of(2.0f * t) + 1.0f);
    return copysignf(pqc_either(a < 0.625f, small, large), x);
}

/* Polynomials of degree 5 in t = 4 |x| - i, i being the nearest integer: (erf(x) - x) / x below 0.875, erf(x) above,
 * which is 1 from 3.875 on.  A row of the table holds one coefficient of all intervals, so one permutation looks it
 * up. */
enum { PQC_ERF_DEGREE = 5, PQC_ERF_INTERVALS = 16 };
#define PQC_ERF_SMALL 0.875f
#define PQC_ERF_ONE 3.875f

static const float pqc_erf_table[PQC_ERF_DEGREE + 1][PQC_ERF_INTERVALS] = {
    {0x1.06eba8p-3f, 0x1.af54e2p-4f, 0x1.4fdeb8p-5f, -0x1.a848b8p-5f, 0x1.af767ap-1f,
     0x1.d8865ep-1f, 0x1.eea556p-1f, 0x1.f92d08p-1f, 0x1.fd9ae2p-1f, 0x1.ff4048p-1f, 0x1.ffcaa8p-1f,
     0x1.fff2dp-1f, 0x1.fffd1ap-1f, 0x1.ffff7p-1f, 0x1.ffffe8p-1f, 0x1.fffffcp-1f},
    {0.0f, -0x1.730704p-5f, -0x1.4c3884p-4f, -0x1.a0cddap-4f, 0x1.a911f2p-4f, 0x1.e4653p-5f,
     0x1.e72372p-6f, 0x1.b0552ep-7f, 0x1.529b9ep-8f, 0x1.d4143ap-10f, 0x1.1d8318p-11f,
     0x1.3360d6p-13f, 0x1.2409p-15f, 0x1.e9b638p-18f, 0x1.6a59dep-20f, 0x1.d9381p-23f},
    {-0x1.81265p-6f, -0x1.5765a8p-6f, -0x1.d6dd16p-7f, -0x1.9a7fa4p-8f, -0x1.a9121ap-6f,
     -0x1.2ecp-6f, -0x1.6d5bf8p-7f, -0x1.7a4bd6p-8f, -0x1.529bc4p-9f, -0x1.0749b8p-10f,
     -0x1.64dd6ep-12f, -0x1.a695cep-14f, -0x1.b5f20ap-16f, -0x1.8dbca6p-18f, -0x1.3cdfeap-20f,
     -0x1.bb4774p-23f},
    {0.0f, 0x1.aceebcp-10f, 0x1.55ce96p-9f, 0x1.5acf3p-9f, 0x1.1b5f9ap-9f, 0x1.571c9ap-9f,
     0x1.1c2a8ap-9f, 0x1.714a1ep-10f, 0x1.8b0c68p-11f, 0x1.63effep-12f, 0x1.119cacp-13f,
     0x1.69caa8p-15f, 0x1.9dac16p-17f, 0x1.9a90f6p-19f, 0x1.62b208p-21f, 0x1.0b4c5p-23f},
    {0x1.cb9d34p-12f, 0x1.6aee9ap-12f, 0x1.091776p-13f, -0x1.91ef16p-14f, 0x1.1bd084p-12f,
     -0x1.731a66p-16f, -0x1.69a6c8p-13f, -0x1.885472p-13f, -0x1.1a145ap-13f, -0x1.39c53cp-14f,
     -0x1.1caefep-15f, -0x1.b024cap-17f, -0x1.16550ep-18f, -0x1.3300b8p-20f, -0x1.23bbb2p-22f,
     -0x1.dfc06ep-25f},
    {0.0f, -0x1.245e7p-15f, -0x1.97ccap-15f, -0x1.34bb8ap-15f, -0x1.19afdcp-14f, -0x1.81b0ep-15f,
     -0x1.eb5b88p-17f, 0x1.a74f1ep-18f, 0x1.a9dffep-17f, 0x1.5c9f9cp-17f, 0x1.91de9ap-18f,
     0x1.6b8504p-19f, 0x1.0d488ap-20f, 0x1.4deddep-22f, 0x1.5f214cp-24f, 0x1.3bbcap-26f},
};

PQC_INLINE float pqc_erf_of(float x)
{
    const float round = 0x1p23f;
    float a = fabsf(x), near = a > PQC_ERF_ONE ? PQC_ERF_ONE : a;
    float shifted = fmaf(near, 4.0f, round), t = fmaf(near, 4.0f, round - shifted);
    uint32_t i = pqc_bits_of(shifted) % PQC_ERF_INTERVALS;
    float p = pqc_erf_table[PQC_ERF_DEGREE][i];
    for (int k = PQC_ERF_DEGREE - 1; k >= 0; k--)
        p = fmaf(p, t, pqc_erf_table[k][i]);
    p = a < PQC_ERF_SMALL ? fmaf(p, a, a) : p;
    return copysignf(a >= PQC_ERF_ONE ? 1.0f : p, x);
}

/* GELU, rounded after each operation of its definition. */
PQC_INLINE float pqc_gelu_of(float x)
{
    return (pqc_erf_of(x * 0x1.6a09e6p-1f) + 1.0f) * x * 0.5f;
}

#endif
