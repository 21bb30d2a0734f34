/* int32 sums to float32, nchw or nhwc, in plain C; see requantize.h. */
#include "requantize.h"

static float value(const pqc_sums *sums, const pqc_output_f32 *o, int pixel, int channel)
{
    return pqc_finish((float)sums->acc[pixel * sums->ld + channel], o->scale[channel],
                      o->bias[channel]);
}

void pqc_requantize_nhwc_scalar(pqc_sums sums, const pqc_output_f32 *o)
{
    for (int p = 0; p < sums.pixels; p++)
        for (int c = 0; c < sums.channels; c++)
            o->y[p * o->pixel_stride + c] = value(&sums, o, p, c);
}

void pqc_requantize_nchw_scalar(pqc_sums sums, const pqc_output_f32 *o)
{
    for (int c = 0; c < sums.channels; c++)
        for (int p = 0; p < sums.pixels; p++)
            o->y[c * o->channel_stride + p] = value(&sums, o, p, c);
}
