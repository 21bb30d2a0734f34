#include "requantize.h"

#include <math.h>

void pqc_requantize_nhwc_scalar(pqc_sums sums, const float *scale, const float *bias, float *y,
                                ptrdiff_t stride)
{
    for (int p = 0; p < sums.pixels; p++)
        for (int c = 0; c < sums.channels; c++)
            y[p * stride + c] = fmaf((float)sums.acc[p * sums.ld + c], scale[c], bias[c]);
}

void pqc_requantize_nchw_scalar(pqc_sums sums, const float *scale, const float *bias, float *y,
                                ptrdiff_t stride)
{
    for (int c = 0; c < sums.channels; c++)
        for (int p = 0; p < sums.pixels; p++)
            y[c * stride + p] = fmaf((float)sums.acc[p * sums.ld + c], scale[c], bias[c]);
}
