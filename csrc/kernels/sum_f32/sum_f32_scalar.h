/* Scalar loops of the sums.  Each body includes them, and the compiler vectorises them for its ISA. */
#ifndef PQC_SUM_F32_SCALAR_H
#define PQC_SUM_F32_SCALAR_H

#include "sum_f32.h"

#include <string.h>

enum { EIGHT = 8 };

PQC_INLINE void add_pixel(float *restrict to, const float *restrict x, ptrdiff_t channels)
{
    for (ptrdiff_t c = 0; c < channels; c++)
        to[c] += x[c];
}

PQC_INLINE const float *pixel_of(const char *x, ptrdiff_t pixel, ptrdiff_t i)
{
    return (const float *)(const void *)(x + i * pixel);
}

PQC_INLINE void sum_loops(const char *x, ptrdiff_t pixel, ptrdiff_t n, ptrdiff_t channels,
                          float *restrict sums)
{
    float parts[EIGHT - 1][PQC_SUMMED]; /* seven more beside `sums` */
    ptrdiff_t lanes = n < EIGHT ? 1 : EIGHT, even = n - n % lanes, size = channels * 4;
    memcpy(sums, x, (size_t)size);
    for (ptrdiff_t i = 1; i < lanes; i++)
        memcpy(parts[i - 1], pixel_of(x, pixel, i), (size_t)size);
    for (ptrdiff_t i = lanes; i < even; i++)
        add_pixel(i % lanes ? parts[i % lanes - 1] : sums, pixel_of(x, pixel, i), channels);
    for (ptrdiff_t step = 1; step < lanes; step *= 2)
        for (ptrdiff_t i = 0; i < EIGHT; i += 2 * step)
            add_pixel(i ? parts[i - 1] : sums, parts[i + step - 1], channels);
    for (ptrdiff_t i = even; i < n; i++)
        add_pixel(sums, pixel_of(x, pixel, i), channels);
}

#endif
