#include "affine.h"

#include "dispatch.h"

/* n neighbouring elements of a channel, from number `at` on. */
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

void pqc_fake_affine(const pqc_affine_work *w)
{
    ptrdiff_t run = w->channels == 1 ? w->n : w->inner;
    for (ptrdiff_t at = 0; at < w->n; at += run)
        (w->is_double ? run_f64 : run_f32)(w, at, run,
                                           (ptrdiff_t)w->range_of[at / run % w->channels]);
}
