#include "interpolate_f32_scalar.h"

void pqc_interpolate_f32_scalar(const pqc_interpolation *p, ptrdiff_t count, ptrdiff_t n,
                                float *restrict y)
{
    interpolate_loops(p, count, n, y);
}
