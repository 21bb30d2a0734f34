/* Symmetric integer quantisation of float32, and with dequantisation (fake), in plain C; see int_quant.h. */
#include "int_quant.h"

#include <math.h>

/* The comparisons are written so that NaN passes. */
static inline float quantize(float x, float mul, float lo, float hi)
{
    float v = rintf(x * mul);
    v = v < lo ? lo : v;
    return v > hi ? hi : v;
}

static inline double quantize_f64(double x, pqc_int_quant_f64 q)
{
    double v = rint(x * q.mul);
    v = v < q.lo ? q.lo : v;
    return v > q.hi ? q.hi : v;
}

void pqc_quantize_f32_scalar(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = quantize(x[i], q.mul, q.lo, q.hi);
}

void pqc_fake_quant_f32_scalar(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = quantize(x[i], q.mul, q.lo, q.hi) / q.div;
}

void pqc_quantize_each_f32_scalar(const float *x, float *y, ptrdiff_t n, const float *mul,
                                  const float *div, pqc_int_quant q)
{
    (void)div;
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = quantize(x[i], mul[i], q.lo, q.hi);
}

void pqc_fake_quant_each_f32_scalar(const float *x, float *y, ptrdiff_t n, const float *mul,
                                    const float *div, pqc_int_quant q)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = quantize(x[i], mul[i], q.lo, q.hi) / div[i];
}

void pqc_quantize_f64_scalar(const double *x, double *y, ptrdiff_t n, pqc_int_quant_f64 q)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = quantize_f64(x[i], q);
}

void pqc_fake_quant_f64_scalar(const double *x, double *y, ptrdiff_t n, pqc_int_quant_f64 q)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = quantize_f64(x[i], q) / q.div;
}
