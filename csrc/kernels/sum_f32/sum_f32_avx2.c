/* Sums of float32 pixels, channel by channel, in NumPy's order, with AVX2; see sum_f32.h. */
#include "sum_f32_scalar.h"

#if PQC_X86

PQC_TARGET_AVX2 void pqc_sum_f32_avx2(const char *x, ptrdiff_t pixel, ptrdiff_t n,
                                      ptrdiff_t channels, float *restrict sums)
{
    sum_loops(x, pixel, n, channels, sums);
}

#endif
