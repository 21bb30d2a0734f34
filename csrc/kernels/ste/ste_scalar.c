#include "ste.h"

#include <math.h>

void pqc_ste_f32_scalar(const float *x, const float *grad, float *y, ptrdiff_t n, float amax)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fabsf(x[i]) <= amax ? grad[i] : 0.0f;
}

void pqc_ste_each_f32_scalar(const float *x, const float *grad, float *y, ptrdiff_t n,
                             const float *amax)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fabsf(x[i]) <= amax[i] ? grad[i] : 0.0f;
}

void pqc_ste_f64_scalar(const double *x, const double *grad, double *y, ptrdiff_t n, double amax)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fabs(x[i]) <= amax ? grad[i] : 0.0;
}
