/* Maxima of bytes over windows, channels last, in plain C; see maxpool_nhwc.h. */
#include "maxpool_nhwc.h"

void pqc_maxpool_nhwc_scalar(const pqc_maxpool_params *g, ptrdiff_t pixels, uint8_t *restrict y)
{
    for (ptrdiff_t p = 0; p < pixels; p++, y += g->y_pixel)
        for (ptrdiff_t c = 0; c < g->channels; c++) {
            uint8_t most = 0;
            for (ptrdiff_t i = 0; i < g->kh; i++)
                for (ptrdiff_t j = 0; j < g->kw; j++) {
                    uint8_t x = g->x[p * g->step + i * g->tap_row + j * g->tap_pixel + c];
                    most = x > most ? x : most;
                }
            y[c] = most;
        }
}
