/* Weighted sums of float32 rows, in plain C; see interpolate_f32.h. */
#include "interpolate_f32_scalar.h"

void pqc_interpolate_f32_scalar(const pqc_interpolation *p, ptrdiff_t count, ptrdiff_t n,
                                float *restrict y)
{
    interpolate_loops(p, count, n, y);
}
