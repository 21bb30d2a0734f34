#include "requantize.h"

void pqc_requantize_nhwc_scalar(pqc_sums sums, const pqc_output *o)
{
    for (int p = 0; p < sums.pixels; p++)
        for (int c = 0; c < sums.channels; c++)
            o->y[p * o->pixel_stride + c] = pqc_finish((float)sums.acc[p * sums.ld + c], o, c);
}

void pqc_requantize_nchw_scalar(pqc_sums sums, const pqc_output *o)
{
    for (int c = 0; c < sums.channels; c++)
        for (int p = 0; p < sums.pixels; p++)
            o->y[c * o->channel_stride + p] = pqc_finish((float)sums.acc[p * sums.ld + c], o, c);
}
