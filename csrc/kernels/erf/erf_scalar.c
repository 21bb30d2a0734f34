#include "erf.h"

#include <math.h>

void pqc_erf_f32_scalar(const float *restrict x, float *restrict y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = erff(x[i]);
}

void pqc_erf_f64_scalar(const double *restrict x, double *restrict y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = erf(x[i]);
}
