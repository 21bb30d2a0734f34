/* erf, sigmoid and tanh of doubles, by the C library; see elementary.h. */
#include "elementary.h"

#include <math.h>

void pqc_erf_f64_scalar(const double *restrict x, double *restrict y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = erf(x[i]);
}

void pqc_sigmoid_f64_scalar(const double *restrict x, double *restrict y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = 1 / (1 + exp(-x[i]));
}

void pqc_tanh_f64_scalar(const double *restrict x, double *restrict y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = tanh(x[i]);
}
