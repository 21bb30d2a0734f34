/* Straight-through gradient of a quantiser, clipped at amax, float32, in plain C; see ste.h. */
#include "ste.h"

#include "bits.h"

#include <math.h>

/* A mask rather than a branch, which would often be mispredicted. */
static inline float pass(float x, float grad, float amax)
{
    return pqc_float_of(pqc_bits_of(grad) & -(uint32_t)(fabsf(x) <= amax));
}

static inline double pass_f64(double x, double grad, double amax)
{
    return pqc_double_of(pqc_bits_of_f64(grad) & -(uint64_t)(fabs(x) <= amax));
}

void pqc_ste_f32_scalar(const float *x, const float *grad, float *y, ptrdiff_t n, float amax)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = pass(x[i], grad[i], amax);
}

void pqc_ste_each_f32_scalar(const float *x, const float *grad, float *y, ptrdiff_t n,
                             const float *amax)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = pass(x[i], grad[i], amax[i]);
}

void pqc_ste_f64_scalar(const double *x, const double *grad, double *y, ptrdiff_t n, double amax)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = pass_f64(x[i], grad[i], amax);
}
