/* Sums of float32 pixels, channel by channel, in NumPy's order, in plain C; see sum_f32.h. */
#include "sum_f32_scalar.h"

void pqc_sum_f32_scalar(const char *x, ptrdiff_t pixel, ptrdiff_t n, ptrdiff_t channels,
                        float *restrict sums)
{
    sum_loops(x, pixel, n, channels, sums);
}
