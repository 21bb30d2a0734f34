/* Weighted sums of float32 rows, with AVX-512; see interpolate_f32.h. */
#include "interpolate_f32_scalar.h"

#if PQC_X86

PQC_TARGET_AVX512 void pqc_interpolate_f32_avx512(const pqc_interpolation *p, ptrdiff_t count,
                                                  ptrdiff_t n, float *restrict y)
{
    interpolate_loops(p, count, n, y);
}

#endif
