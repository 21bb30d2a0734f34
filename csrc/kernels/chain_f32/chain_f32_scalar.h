/* Scalar loops of the elementwise operations.  Each body includes them, and the compiler vectorises them for its ISA. */
#ifndef PQC_CHAIN_F32_SCALAR_H
#define PQC_CHAIN_F32_SCALAR_H

#include "chain_f32.h"
#include "elementary/elementary_scalar.h"
#include "requantize/requantize.h"

/* Operations on truth values, which are 1 and 0. */
PQC_INLINE void chain_of_truths(pqc_chain_kind kind, const float *restrict a,
                                const float *restrict b, float *restrict y, ptrdiff_t n)
{
    switch (kind) {
    case PQC_CHAIN_IF:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_either(b[i] != 0.0f, a[i], 0.0f);
        return;
    case PQC_CHAIN_UNLESS:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_either(b[i] == 0.0f, a[i], 0.0f);
        return;
    case PQC_CHAIN_EITHER:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_float_of(pqc_bits_of(a[i]) | pqc_bits_of(b[i]));
        return;
    case PQC_CHAIN_LESS:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_either(a[i] < b[i], 1.0f, 0.0f);
        return;
    case PQC_CHAIN_LESS_OR_EQUAL:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_either(a[i] <= b[i], 1.0f, 0.0f);
        return;
    default: /* EQUAL */
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_either(a[i] == b[i], 1.0f, 0.0f);
    }
}

PQC_INLINE void chain_of_two(pqc_chain_kind kind, const float *restrict a, const float *restrict b,
                             float *restrict y, ptrdiff_t n)
{
    switch (kind) {
    case PQC_CHAIN_ADD:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] + b[i];
        return;
    case PQC_CHAIN_SUB:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] - b[i];
        return;
    case PQC_CHAIN_MUL:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] * b[i];
        return;
    case PQC_CHAIN_DIV:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] / b[i];
        return;
    case PQC_CHAIN_MAX:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] != a[i] ? a[i] : a[i] > b[i] ? a[i] : b[i];
        return;
    case PQC_CHAIN_MIN:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] != a[i] ? a[i] : a[i] < b[i] ? a[i] : b[i];
        return;
    case PQC_CHAIN_PRELU:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_either(a[i] < 0.0f, a[i] * b[i], a[i]);
        return;
    default:
        chain_of_truths(kind, a, b, y, n);
    }
}

PQC_INLINE void chain_of_number(pqc_chain_kind kind, const float *restrict a, float number,
                                float *restrict y, ptrdiff_t n)
{
    switch (kind) {
    case PQC_CHAIN_ADD_NUMBER:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] + number;
        return;
    case PQC_CHAIN_MUL_NUMBER:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] * number;
        return;
    case PQC_CHAIN_DIV_NUMBER:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] / number;
        return;
    case PQC_CHAIN_MAX_NUMBER:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] > number || a[i] != a[i] ? a[i] : number;
        return;
    case PQC_CHAIN_MIN_NUMBER:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] < number || a[i] != a[i] ? a[i] : number;
        return;
    case PQC_CHAIN_AT_LEAST:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_at_least(a[i], number);
        return;
    case PQC_CHAIN_AT_MOST:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_at_most(a[i], number);
        return;
    case PQC_CHAIN_FROM_NUMBER:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = number - a[i];
        return;
    case PQC_CHAIN_OVER:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = number / a[i];
        return;
    case PQC_CHAIN_NAN_NUMBER:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_either(a[i] != a[i], number, a[i]);
        return;
    default: /* LEAKY_RELU */
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_either(a[i] > 0.0f, a[i], a[i] * number);
    }
}

PQC_INLINE void chain_of_one(pqc_chain_kind kind, const float *restrict a, float *restrict y,
                             ptrdiff_t n)
{
    switch (kind) {
    case PQC_CHAIN_HARD_SWISH:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_hard_swish(a[i]);
        return;
    case PQC_CHAIN_NEG:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = -a[i];
        return;
    case PQC_CHAIN_ABS:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = fabsf(a[i]);
        return;
    case PQC_CHAIN_SQRT:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = sqrtf(a[i]);
        return;
    case PQC_CHAIN_ROUND:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = rintf(a[i]);
        return;
    case PQC_CHAIN_SIGMOID:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_sigmoid_of(a[i]);
        return;
    case PQC_CHAIN_SILU:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = a[i] * pqc_sigmoid_of(a[i]);
        return;
    case PQC_CHAIN_TANH:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_tanh_of(a[i]);
        return;
    case PQC_CHAIN_ERF:
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_erf_of(a[i]);
        return;
    default: /* GELU */
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = pqc_gelu_of(a[i]);
    }
}

PQC_INLINE void chain_loops(pqc_chain_kind kind, const float *restrict a, const float *restrict b,
                            float number, float *restrict y, ptrdiff_t n)
{
    if (pqc_chain_has_two(kind))
        chain_of_two(kind, a, b, y, n);
    else if (kind <= PQC_CHAIN_LEAKY_RELU)
        chain_of_number(kind, a, number, y, n);
    else
        chain_of_one(kind, a, y, n);
}

#endif
