#include "e4m3.h"

#include "bits.h"

#include <math.h>

/* The comparisons are written so that NaN passes. */
static inline float round_e4m3(float v)
{
    v = v < -PQC_E4M3_MAX ? -PQC_E4M3_MAX : v;
    v = v > PQC_E4M3_MAX ? PQC_E4M3_MAX : v;
    uint32_t exponent = pqc_bits_of(v) & PQC_E4M3_EXPONENT;
    exponent = exponent > PQC_E4M3_NORMAL ? exponent : PQC_E4M3_NORMAL;
    float magic = pqc_float_of(exponent + PQC_E4M3_MAGIC);
    return copysignf((v + magic) - magic, v);
}

static inline float fake_e4m3(float x, float mul, float div)
{
    float y = round_e4m3(x * mul) / div;
    return fabsf(x) < PQC_E4M3_ZERO ? 0.0f : y;
}

static inline double fake_e4m3_f64(double x, pqc_e4m3_f64 q)
{
    double v = x * q.mul;
    v = v < -448.0 ? -448.0 : v;
    v = v > 448.0 ? 448.0 : v;
    uint64_t exponent = pqc_bits_of_f64(v) & (uint64_t)0x7ff << 52;
    uint64_t normal = (uint64_t)(1023 - 6) << 52;
    exponent = exponent > normal ? exponent : normal;
    double magic = pqc_double_of(exponent + ((uint64_t)49 << 52) + ((uint64_t)1 << 51));
    double y = copysign((v + magic) - magic, v) / q.div;
    return fabs(x) < 0x1p-24 ? 0.0 : y;
}

void pqc_e4m3_f32_scalar(const float *x, float *y, ptrdiff_t n, pqc_e4m3 q)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fake_e4m3(x[i], q.mul, q.div);
}

void pqc_e4m3_each_f32_scalar(const float *x, float *y, ptrdiff_t n, const float *mul,
                              const float *div)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fake_e4m3(x[i], mul[i], div[i]);
}

void pqc_e4m3_f64_scalar(const double *x, double *y, ptrdiff_t n, pqc_e4m3_f64 q)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fake_e4m3_f64(x[i], q);
}
