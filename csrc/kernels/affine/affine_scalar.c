/* Affine fake quantisation of float32 with one step and zero point, in plain C; see affine.h. */
#include <math.h>

#include "affine.h"

pqc_affine pqc_affine_init(float min, float max, int num_bits)
{
    pqc_affine p = {.lo = -ldexpf(1.0f, num_bits - 1),
                    .hi = (float)(ldexp(1.0, num_bits - 1) - 1.0)};
    p.step = (max - min) / (float)(ldexp(1.0, num_bits) - 1.0);
    p.zero = rintf(min / p.step) - p.lo;
    return p;
}

pqc_affine_f64 pqc_affine_init_f64(double min, double max, int num_bits)
{
    pqc_affine_f64 p = {.lo = -ldexp(1.0, num_bits - 1), .hi = ldexp(1.0, num_bits - 1) - 1.0};
    p.step = (max - min) / (ldexp(1.0, num_bits) - 1.0);
    p.zero = rint(min / p.step) - p.lo;
    return p;
}

void pqc_affine_f32_scalar(const float *x, float *y, ptrdiff_t n, pqc_affine p)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        float v = rintf(x[i] / p.step) - p.zero;
        v = v < p.lo ? p.lo : v;
        v = v > p.hi ? p.hi : v;
        y[i] = (v + p.zero) * p.step;
    }
}

void pqc_affine_f64_scalar(const double *x, double *y, ptrdiff_t n, pqc_affine_f64 p)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        double v = rint(x[i] / p.step) - p.zero;
        v = v < p.lo ? p.lo : v;
        v = v > p.hi ? p.hi : v;
        y[i] = (v + p.zero) * p.step;
    }
}
