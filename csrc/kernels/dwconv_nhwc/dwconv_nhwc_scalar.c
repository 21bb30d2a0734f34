/* Depthwise u8 x s8 convolution, channels last, to int32 sums, in plain C; see dwconv_nhwc.h. */
#include "dwconv_nhwc.h"

static int32_t sum_at(const pqc_dwconv_nhwc_params *g, const uint8_t *x, ptrdiff_t channel)
{
    ptrdiff_t groups = pqc_div_round_up(g->kh, 4);
    int32_t sum = 0;
    for (int b = 0; b < g->kw; b++)
        for (int a = 0; a < g->kh; a++)
            sum += x[a * g->tap_row + b * g->tap_pixel + channel] *
                   g->w[(b * groups + a / 4) * g->w_pitch + 4 * channel + a % 4];
    return sum;
}

void pqc_dwconv_nhwc_scalar(const pqc_dwconv_nhwc_params *g, int32_t *acc)
{
    for (ptrdiff_t i = 0; i < g->rows; i++)
        for (ptrdiff_t j = 0; j < g->columns; j++, acc += g->ld)
            for (ptrdiff_t c = 0; c < g->channels; c++) {
                int32_t sum = sum_at(g, g->x + i * g->step_row + j * g->step_pixel, c);
                acc[c] = (int32_t)((uint32_t)g->compensation[c] + (uint32_t)sum);
            }
}
