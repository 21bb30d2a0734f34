/* Largest magnitude (in all, or a running one per element) and minimum of float32, in plain C; see amax.h. */
#include "amax.h"

#include "bits.h"

#include <math.h>

static inline uint32_t magnitude(float x)
{
    return pqc_bits_of(x) & 0x7fffffff;
}

static inline uint64_t magnitude_f64(double x)
{
    return pqc_bits_of_f64(x) & INT64_MAX;
}

float pqc_amax_f32_scalar(const float *x, ptrdiff_t n)
{
    uint32_t most = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        most = magnitude(x[i]) > most ? magnitude(x[i]) : most;
    return pqc_float_of(most);
}

void pqc_amax_each_f32_scalar(const float *x, float *acc, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t new = magnitude(x[i]), old = magnitude(acc[i]);
        acc[i] = pqc_float_of(new > old ? new : old);
    }
}

float pqc_min_f32_scalar(const float *x, ptrdiff_t n)
{
    float least = INFINITY;
    bool nan = false;
    for (ptrdiff_t i = 0; i < n; i++) {
        nan |= x[i] != x[i];
        least = x[i] < least ? x[i] : least;
    }
    return nan ? NAN : least + 0.0f;
}

double pqc_amax_f64_scalar(const double *x, ptrdiff_t n)
{
    uint64_t most = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        most = magnitude_f64(x[i]) > most ? magnitude_f64(x[i]) : most;
    return pqc_double_of(most);
}

void pqc_amax_each_f64_scalar(const double *x, double *acc, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        uint64_t new = magnitude_f64(x[i]), old = magnitude_f64(acc[i]);
        acc[i] = pqc_double_of(new > old ? new : old);
    }
}

double pqc_min_f64_scalar(const double *x, ptrdiff_t n)
{
    double least = INFINITY;
    bool nan = false;
    for (ptrdiff_t i = 0; i < n; i++) {
        nan |= x[i] != x[i];
        least = x[i] < least ? x[i] : least;
    }
    return nan ? (double)NAN : least + 0.0;
}
