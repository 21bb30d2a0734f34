#include "expect.h"

#include <math.h>

/* The product of two floats is exact in a double, and a quotient rounded to double and then to
 * float is the float nearest to it: both formulas round once. */
float expect_quantized(float x, float mul, float lo, float hi)
{
    double v = round_even((double)(float)((double)x * (double)mul));
    if (v < (double)lo)
        return lo;
    return v > (double)hi ? hi : (float)v;
}

float expect_fake(float x, float mul, float div, float lo, float hi)
{
    return (float)((double)expect_quantized(x, mul, lo, hi) / (double)div);
}

double value_of_code(unsigned code, int mantissa_bits, int bias)
{
    int exponent = (int)(code >> mantissa_bits);
    double mantissa = (double)(code & ((1u << mantissa_bits) - 1u));
    double hidden = exponent == 0 ? 0.0 : ldexp(1.0, mantissa_bits);
    return ldexp(mantissa + hidden, (exponent == 0 ? 1 : exponent) - bias - mantissa_bits);
}

/* The code, without sign, nearest to `size`, ties to even; codes grow with their values. */
static unsigned nearest_code(double size, int mantissa_bits, int bias, unsigned infinity)
{
    unsigned low = 0, high = infinity;
    if (size >= value_of_code(infinity, mantissa_bits, bias))
        return infinity;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (value_of_code(middle, mantissa_bits, bias) <= size)
            low = middle;
        else
            high = middle;
    }
    double below = size - value_of_code(low, mantissa_bits, bias);
    double above = value_of_code(high, mantissa_bits, bias) - size;
    return below < above || (below == above && low % 2 == 0) ? low : high;
}

uint16_t expect_f16(float x)
{
    unsigned sign = bits_f32(x) >> 16 & 0x8000;
    if (x != x)
        return (uint16_t)(sign | 0x7e00 | (bits_f32(x) >> 13 & 0x3ff));
    return (uint16_t)(sign | nearest_code(fabs((double)x), 10, 15, 0x7c00));
}

uint16_t expect_bf16(float x)
{
    unsigned sign = bits_f32(x) >> 16 & 0x8000;
    if (x != x)
        return (uint16_t)(bits_f32(x) >> 16 | 0x40);
    return (uint16_t)(sign | nearest_code(fabs((double)x), 7, 127, 0x7f80));
}

uint32_t expect_from_f16(unsigned h)
{
    uint32_t sign = (h & 0x8000) << 16;
    if ((h & 0x7fff) > 0x7c00)
        return sign | 0x7fc00000 | (h & 0x3ff) << 13;
    if ((h & 0x7fff) == 0x7c00)
        return sign | 0x7f800000;
    return sign | bits_f32((float)value_of_code(h & 0x7fff, 10, 15));
}

const int_quant_case int_quant_cases[INT_QUANT_CASES] = {
    {1.0f, {8, false, true}},     {3.7f, {8, false, false}},    {448.0f, {8, true, true}},
    {127.0f, {8, false, false}},  {0.25f, {4, false, true}},    {1e-3f, {2, false, false}},
    {2.5f, {16, false, true}},    {1e5f, {24, true, false}},    {0x1.8p-24f, {8, false, true}},
    {1e-9f, {8, false, true}},    {0.0f, {8, true, true}},      {NAN, {8, false, true}},
    {INFINITY, {8, false, true}}, {3.4e38f, {8, false, false}}, {1.0f, {0, false, true}},
    {1e30f, {3, false, false}},   {1e-7f, {32, false, true}},
};
