/* Softmax and layer normalisation of float32 rows, with AVX2; see rows_f32.h. */
#include "rows_f32_scalar.h"

#if PQC_X86

PQC_TARGET_AVX2 void pqc_softmax_f32_avx2(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
    for (ptrdiff_t r = 0; r < rows; r++)
        softmax_row(x + r * n, y + r * n, n);
}

PQC_TARGET_AVX2 void pqc_layer_norm_f32_avx2(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n,
                                             const pqc_layer_norm *p)
{
    for (ptrdiff_t r = 0; r < rows; r++)
        layer_norm_row(x + r * n, y + r * n, n, p);
}

#endif
