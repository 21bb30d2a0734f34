/* Affine fake quantisation of float32 and float64 arrays: splits the array over threads and into runs of one channel. */
#include "affine.h"

#include "dispatch.h"
#include "parallel.h"

enum { GRAIN = 65536 }; /* elements per grain */

/* code - zero_point may be -0.0; makes it +0.0. */
static void no_negative_zero(float *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] += 0.0f;
}

static void run_shifted(const pqc_affine_work *w, ptrdiff_t at, ptrdiff_t n, ptrdiff_t range)
{
    const float *x = w->x, *pair = (const float *)w->ranges + 2 * range;
    float *y = w->y, mul = pair[0];
    pqc_int_quant q = {mul, mul == 0.0f ? 1.0f : mul, -pair[1], w->levels - pair[1]};
    (w->fake ? pqc.fake_quant_f32 : pqc.quantize_f32)(x + at, y + at, n, q);
    no_negative_zero(y + at, n);
}

static void run_shifted_f64(const pqc_affine_work *w, ptrdiff_t at, ptrdiff_t n, ptrdiff_t range)
{
    const double *x = w->x, *pair = (const double *)w->ranges + 2 * range;
    double *y = w->y, mul = pair[0];
    pqc_int_quant_f64 q = {mul, mul == 0.0 ? 1.0 : mul, -pair[1], (double)w->levels - pair[1]};
    (w->fake ? pqc_fake_quant_f64_scalar : pqc_quantize_f64_scalar)(x + at, y + at, n, q);
    for (ptrdiff_t i = 0; i < n; i++)
        y[at + i] += 0.0;
}

/* A run of n elements of one channel, starting at element `at`. */
static void run_f32(const pqc_affine_work *w, ptrdiff_t at, ptrdiff_t n, ptrdiff_t range)
{
    const float *x = w->x, *pair = (const float *)w->ranges + 2 * range;
    float *y = w->y;
    pqc.affine_f32(x + at, y + at, n, pqc_affine_init(pair[0], pair[1], w->num_bits));
}

static void run_f64(const pqc_affine_work *w, ptrdiff_t at, ptrdiff_t n, ptrdiff_t range)
{
    const double *x = w->x, *pair = (const double *)w->ranges + 2 * range;
    double *y = w->y;
    pqc_affine_f64_scalar(x + at, y + at, n, pqc_affine_init_f64(pair[0], pair[1], w->num_bits));
}

static void by_channels(const pqc_affine_work *w,
                        void (*run)(const pqc_affine_work *, ptrdiff_t, ptrdiff_t, ptrdiff_t))
{
    ptrdiff_t length = w->channels == 1 ? w->n : w->inner;
    for (ptrdiff_t at = 0; at < w->n; at += length)
        run(w, at, length, (ptrdiff_t)w->range_of[at / length % w->channels]);
}

void pqc_fake_affine(const pqc_affine_work *w)
{
    by_channels(w, w->is_double ? run_f64 : run_f32);
}

static void shifted_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_affine_work *w = context;
    ptrdiff_t range = (ptrdiff_t)w->range_of[0];
    (w->is_double ? run_shifted_f64 : run_shifted)(w, begin, end - begin, range);
}

void pqc_shifted_quant(const pqc_affine_work *w)
{
    pqc_affine_work copy = *w;
    if (w->channels == 1)
        pqc_parallel(w->n, GRAIN, shifted_range, &copy);
    else
        by_channels(w, w->is_double ? run_shifted_f64 : run_shifted);
}
