#include "check.h"
#include "dispatch.h"
#include "elementary/elementary_scalar.h"
#include "expect.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double bits_of_both(double a, double b)
{
    float numbers[2] = {(float)a, (float)b}, y;
    uint32_t bits[2];
    memcpy(bits, numbers, sizeof bits);
    bits[0] |= bits[1];
    memcpy(&y, bits, sizeof y);
    return (double)y;
}

static double two(pqc_chain_kind kind, double a, double b)
{
    switch (kind) {
    case PQC_CHAIN_ADD:
    case PQC_CHAIN_ADD_NUMBER:
        return a + b;
    case PQC_CHAIN_SUB:
        return a - b;
    case PQC_CHAIN_FROM_NUMBER:
        return b - a;
    case PQC_CHAIN_MUL:
    case PQC_CHAIN_MUL_NUMBER:
        return a * b;
    case PQC_CHAIN_DIV:
    case PQC_CHAIN_DIV_NUMBER:
        return a / b;
    case PQC_CHAIN_OVER:
        return b / a;
    case PQC_CHAIN_MAX:
    case PQC_CHAIN_MAX_NUMBER:
        return a != a ? a : b != b ? b : a > b ? a : b;
    case PQC_CHAIN_MIN:
    case PQC_CHAIN_MIN_NUMBER:
        return a != a ? a : b != b ? b : a < b ? a : b;
    case PQC_CHAIN_AT_LEAST:
        return a < b ? b : a;
    case PQC_CHAIN_AT_MOST:
        return a > b ? b : a;
    case PQC_CHAIN_NAN_NUMBER:
        return a != a ? b : a;
    case PQC_CHAIN_PRELU:
        return a < 0 ? a * b : a;
    case PQC_CHAIN_IF:
        return b != 0 ? a : 0;
    case PQC_CHAIN_UNLESS:
        return b == 0 ? a : 0;
    case PQC_CHAIN_EITHER:
        return bits_of_both(a, b);
    case PQC_CHAIN_LESS:
        return a < b;
    case PQC_CHAIN_LESS_OR_EQUAL:
        return a <= b;
    case PQC_CHAIN_EQUAL:
        return a == b;
    default: /* LEAKY_RELU */
        return a > 0 ? a : a * b;
    }
}

static double one(pqc_chain_kind kind, double a)
{
    switch (kind) {
    case PQC_CHAIN_HARD_SWISH: { /* each operation is rounded once */
        float shifted = (float)(a + 3);
        shifted = shifted < 0 ? 0 : shifted > 6 ? 6 : shifted;
        return (double)(float)(a * (double)shifted) / 6;
    }
    case PQC_CHAIN_NEG:
        return -a;
    case PQC_CHAIN_ABS:
        return fabs(a);
    case PQC_CHAIN_SQRT:
        return sqrt(a);
    case PQC_CHAIN_ROUND:
        return round_even(a);
    case PQC_CHAIN_SIGMOID:
        return 1 / (1 + exp(-a));
    case PQC_CHAIN_TANH:
        return tanh(a);
    case PQC_CHAIN_ERF:
        return erf(a);
    default: /* GELU; the product before the last may be too large */
        return (double)(float)(a * (1 + erf(a * 0x1.6a09e6p-1))) / 2;
    }
}

/* Units in the last place of a float. */
static double ulps(double got, double wanted)
{
    int exponent;
    if (got == wanted || (got != got && wanted != wanted))
        return 0;
    frexp(wanted, &exponent);
    return fabs(got - wanted) / ldexp(1, exponent < -125 ? -149 : exponent - 24);
}

static void check_kind(pqc_chain_kind kind, ptrdiff_t n, buffer *buffers, unsigned seed)
{
    float *a = buffer_place(&buffers[0], (size_t)n * 4, seed % 3 * 4);
    float *b = buffer_place(&buffers[1], (size_t)n * 4, seed % 5 * 4);
    float *y = buffer_place(&buffers[2], (size_t)n * 4, 0), number = seed % 2 ? 0.7f : -3.0f;
    fill_f32(a, n, seed);
    fill_f32(b, n, seed + 1);
    pqc.chain_f32(kind, a, pqc_chain_has_two(kind) ? b : NULL, number, y, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        double x = (double)a[i], other = (double)(pqc_chain_has_two(kind) ? b[i] : number);
        bool function = kind >= PQC_CHAIN_SIGMOID && kind != PQC_CHAIN_SILU;
        double wanted = kind < PQC_CHAIN_HARD_SWISH ? two(kind, x, other) : one(kind, x);
        if (kind == PQC_CHAIN_SILU)
            wanted = x * (double)pqc_sigmoid_of(a[i]);
        bool right =
            kind == PQC_CHAIN_GELU && x < 0 /* 1 + erf cancels */
                ? fabs((double)y[i] - wanted) <= 0x1p-24 * fabs(x) + 0x1p-149 || y[i] != y[i]
                : function ? ulps((double)y[i], wanted) <= 2
                           : y[i] == (float)wanted || (y[i] != y[i] && wanted != wanted);
        CHECK(right, "kind %d of %a and %a: %a, not %a", (int)kind, x, other, (double)y[i], wanted);
    }
    CHECK(buffer_guards_intact(&buffers[2]), "kind %d, n = %td", (int)kind, n);
}

void test_chain_f32(void)
{
    buffer buffers[3];
    for (int i = 0; i < 3; i++)
        buffer_open(&buffers[i]);
    for (int kind = 0; kind < PQC_CHAIN_KINDS; kind++)
        for (int i = 0; i < size_count; i += 3)
            check_kind((pqc_chain_kind)kind, sizes[i], buffers, (unsigned)(kind * 100 + i));
    for (int i = 0; i < 3; i++)
        buffer_close(&buffers[i]);
}
