/* Depthwise convolution of float32, channels last, in plain C; see dwconv_f32.h. */
#include "dwconv_f32.h"

#include <math.h>

void pqc_dwconv_f32_scalar(const pqc_dwconv_f32 *d)
{
    for (ptrdiff_t p = 0; p < d->pixels; p++)
        for (ptrdiff_t c = 0; c < d->channels; c++) {
            const float *x = d->x + p * d->x_pixel + c, *w = d->w + c;
            float acc = d->y[p * d->y_pixel + c];
            for (ptrdiff_t i = 0; i < d->kh; i++)
                for (ptrdiff_t j = 0; j < d->kw; j++)
                    acc = fmaf(x[i * d->x_row + j * d->x_tap], w[i * d->w_row + j * d->w_tap], acc);
            d->y[p * d->y_pixel + c] = acc;
        }
}
