/* Scales and bounds of integer and float formats from amax, in plain C; see quant_params.h. */
#include "quant_params.h"

#include <math.h>

/* the smallest float16; a smaller amax counts as 0 */
static const double zero_amax = 1.0 / (1 << 24);

static double upper_bound(pqc_int_format format)
{
    return format.num_bits == 0 ? 0.0 : ldexp(1.0, format.num_bits - 1 + format.is_unsigned) - 1.0;
}

static double lower_bound(double upper, pqc_int_format format)
{
    if (format.is_unsigned || format.num_bits == 0)
        return 0.0;
    return format.narrow_range ? -upper : -upper - 1.0;
}

static void set_scale(float amax, float bound, pqc_int_format format, float *mul, float *div)
{
    bool zero = amax <= (float)zero_amax || format.num_bits == 0;
    float scale = bound / amax;
    *mul = zero ? 0.0f : scale;
    *div = zero ? 1.0f : scale;
}

pqc_int_quant pqc_int_quant_init(float amax, pqc_int_format format)
{
    double hi = upper_bound(format);
    pqc_int_quant q = {.lo = (float)lower_bound(hi, format), .hi = (float)hi};
    set_scale(amax, q.hi, format, &q.mul, &q.div);
    return q;
}

pqc_int_quant_f64 pqc_int_quant_init_f64(double amax, pqc_int_format format)
{
    double hi = upper_bound(format);
    pqc_int_quant_f64 q = {.lo = lower_bound(hi, format), .hi = hi};
    pqc_int_scales_f64(&amax, &q.mul, &q.div, 1, format);
    return q;
}

void pqc_int_scales(const float *amax, float *mul, float *div, ptrdiff_t n, pqc_int_format format)
{
    float bound = (float)upper_bound(format);
    for (ptrdiff_t i = 0; i < n; i++)
        set_scale(amax[i], bound, format, &mul[i], &div[i]);
}

void pqc_int_scales_f64(const double *amax, double *mul, double *div, ptrdiff_t n,
                        pqc_int_format format)
{
    double bound = upper_bound(format);
    for (ptrdiff_t i = 0; i < n; i++) {
        bool zero = amax[i] <= zero_amax || format.num_bits == 0;
        double scale = bound / amax[i];
        mul[i] = zero ? 0.0 : scale;
        div[i] = zero ? 1.0 : scale;
    }
}

pqc_float_format pqc_float_format_init(int exponent, int mantissa)
{
    bool infinite = exponent == 5, has_nan = exponent == 4;
    int bias = (1 << (exponent - 1)) - 1;
    pqc_float_format f = {.mantissa = mantissa,
                          .lowest_exponent = 1 - bias,
                          .bits = 1 + exponent + mantissa,
                          .tiny = has_nan ? (float)zero_amax : 0.0f,
                          .nan_code = infinite  ? 0x7e
                                      : has_nan ? 0x7f
                                                : 0};
    f.top_exponent = (1 << exponent) - 1 - infinite - bias;
    double largest = 2.0 - ldexp(1.0, has_nan ? 1 - mantissa : -mantissa);
    f.hi = (float)ldexp(largest, f.top_exponent);
    f.lo = -f.hi;
    return f;
}

/* Every value up to 2^8 lies below the smallest normal number, so that all steps are 1. */
pqc_float_format pqc_int_elements(float lo, float hi)
{
    return (pqc_float_format){
        .lo = lo, .hi = hi, .mantissa = 8, .lowest_exponent = 8, .bits = 8, .top_exponent = 0};
}

pqc_float_scale pqc_float_scale_init(float amax, const pqc_float_format *f)
{
    pqc_float_scale q;
    pqc_float_scales(&amax, &q.mul, &q.div, 1, f);
    return q;
}

pqc_float_scale_f64 pqc_float_scale_init_f64(double amax, const pqc_float_format *f)
{
    double scale = 1.0 / amax * (double)f->hi;
    return (pqc_float_scale_f64){.mul = isinf(scale) ? 1.0 : scale, .div = scale};
}

void pqc_float_scales(const float *amax, float *mul, float *div, ptrdiff_t n,
                      const pqc_float_format *f)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        float scale = 1.0f / amax[i] * f->hi;
        mul[i] = isinf(scale) ? 1.0f : scale;
        div[i] = scale;
    }
}
