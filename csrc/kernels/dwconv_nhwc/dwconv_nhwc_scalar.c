#include "dwconv_nhwc.h"

void pqc_dwconv_nhwc_scalar(const pqc_dwconv_nhwc_params *g, const int32_t *pixel, int pixels,
                            int32_t *acc)
{
    for (int p = 0; p < pixels; p++)
        for (ptrdiff_t c = 0; c < g->channels; c++) {
            int32_t sum = 0;
            for (ptrdiff_t j = 0; j < g->taps; j++)
                sum += g->x[pixel[p] + g->offset[j] + c] * g->w[j / 2 * g->w_pitch + 2 * c + j % 2];
            acc[p * g->ld + c] = (int32_t)((uint32_t)g->compensation[c] + (uint32_t)sum);
        }
}
