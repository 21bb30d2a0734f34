/* u8 x s8 convolution rows whose lanes are pixels, to float32 CHW, in plain C; see conv_chw_u8s8.h. */
#include "conv_chw_u8s8.h"

/* Unsigned, so that wrapping is defined. */
static int32_t product(const pqc_conv_chw_params *g, ptrdiff_t row, ptrdiff_t pixel, int c)
{
    ptrdiff_t pixel_bytes = g->dilation == 0 ? 4 : g->stride,
              tap_bytes = g->dilation == 0 ? 1 : g->dilation;
    uint32_t acc = (uint32_t)g->compensation[c];
    for (ptrdiff_t j = 0; j < g->k; j++) {
        const uint8_t *x = g->x + row * g->x_row + g->offset[j] + pixel * pixel_bytes;
        const int8_t *w = g->w + j * g->k_stride + 4 * c;
        acc += (uint32_t)(x[0] * w[0] + x[tap_bytes] * w[1] + x[2 * tap_bytes] * w[2] +
                          x[3 * tap_bytes] * w[3]);
    }
    return (int32_t)acc;
}

void pqc_conv_chw_u8s8_scalar(const pqc_conv_chw_params *g, ptrdiff_t pixels)
{
    for (int c = 0; c < g->channels; c++)
        for (ptrdiff_t row = 0; row < g->rows; row++)
            for (ptrdiff_t p = 0; p < pixels; p++)
                g->to.y[c * g->to.channel_stride + row * g->y_row + p] =
                    pqc_finish((float)product(g, row, p, c), g->to.scale[c], g->to.bias[c]);
}
