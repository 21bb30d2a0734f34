#include "rows_f32_scalar.h"

void pqc_softmax_f32_scalar(const float *x, float *y, ptrdiff_t n)
{
    softmax_row(x, y, n);
}

void pqc_layer_norm_f32_scalar(const float *x, float *y, ptrdiff_t n, const pqc_layer_norm *p)
{
    layer_norm_row(x, y, n, p);
}
