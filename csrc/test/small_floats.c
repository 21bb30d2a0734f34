#include "small_floats.h"

#include <math.h>
#include <stddef.h>

const small_float small_floats[SMALL_FLOATS] = {
    {5, 2, 0x7b}, {4, 3, 0x7e}, {3, 2, 0x1f}, {2, 3, 0x1f}, {2, 1, 0x7}};

double small_value(small_float f, int code)
{
    int exponent = code >> f.mantissa, mantissa = code & ((1 << f.mantissa) - 1);
    int bias = (1 << (f.exponent - 1)) - 1;
    if (exponent == 0)
        return ldexp(mantissa, 1 - bias - f.mantissa);
    return ldexp((1 << f.mantissa) + mantissa, exponent - bias - f.mantissa);
}

double nearest_small(small_float f, double v, int *code)
{
    double size = fabs(v);
    int at = 0;
    if (v != v)
        return v;
    while (at < f.largest && small_value(f, at + 1) <= size)
        at++;
    if (at < f.largest) {
        double below = size - small_value(f, at), above = small_value(f, at + 1) - size;
        at += above < below || (above == below && at % 2 == 1);
    }
    if (code)
        *code = at | (signbit(v) != 0) << (f.exponent + f.mantissa);
    return copysign(small_value(f, at), v);
}
