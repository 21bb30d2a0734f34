/* Rounding of float32 to 4 to 8 bit floats and back, in plain C; see float_quant.h. */
#include "float_quant_scalar.h"

static inline float fake(float x, float mul, float div, const pqc_float_format *f)
{
    float y = pqc_nearest(x * mul, f) / div;
    return fabsf(x) < f->tiny ? 0.0f : y;
}

void pqc_float_quant_f32_scalar(const float *x, float *y, ptrdiff_t n, pqc_float_scale q,
                                const pqc_float_format *f)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fake(x[i], q.mul, q.div, f);
}

void pqc_float_quant_each_f32_scalar(const float *x, float *y, ptrdiff_t n, const float *mul,
                                     const float *div, const pqc_float_format *f)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fake(x[i], mul[i], div[i], f);
}

void pqc_float_quant_f64_scalar(const double *x, double *y, ptrdiff_t n, pqc_float_scale_f64 q,
                                const pqc_float_format *f)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        double v = pqc_nearest_f64(x[i] * q.mul, f) / q.div;
        y[i] = fabs(x[i]) < (double)f->tiny ? 0.0 : v;
    }
}
