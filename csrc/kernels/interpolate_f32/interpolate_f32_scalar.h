/* Scalar loops of the interpolation.  Each body includes them, and the compiler vectorises them for its ISA. */
#ifndef PQC_INTERPOLATE_F32_SCALAR_H
#define PQC_INTERPOLATE_F32_SCALAR_H

#include "interpolate_f32.h"

#include <string.h>

PQC_INLINE const float *row_at(const pqc_interpolation *p, ptrdiff_t place)
{
    return (const float *)(const void *)(p->x + place * p->row);
}

/* Two taps in one pass. */
PQC_INLINE void between_rows(const float *restrict a, float wa, const float *restrict b, float wb,
                             ptrdiff_t n, float *restrict y)
{
    for (ptrdiff_t e = 0; e < n; e++)
        y[e] = a[e] * wa + b[e] * wb;
}

PQC_INLINE void add_row(const float *restrict x, float weight, ptrdiff_t n, float *restrict y)
{
    for (ptrdiff_t e = 0; e < n; e++)
        y[e] += x[e] * weight;
}

PQC_INLINE void interpolate_loops(const pqc_interpolation *p, ptrdiff_t count, ptrdiff_t n,
                                  float *restrict y)
{
    const ptrdiff_t *place = p->place;
    const float *weight = p->weight;
    for (ptrdiff_t i = 0; i < count; i++, place += p->taps, weight += p->taps, y += n) {
        if (p->taps == 1) {
            memcpy(y, row_at(p, place[0]), (size_t)n * sizeof *y);
            continue;
        }
        between_rows(row_at(p, place[0]), weight[0], row_at(p, place[1]), weight[1], n, y);
        for (ptrdiff_t k = 2; k < p->taps; k++)
            add_row(row_at(p, place[k]), weight[k], n, y);
    }
}

#endif
