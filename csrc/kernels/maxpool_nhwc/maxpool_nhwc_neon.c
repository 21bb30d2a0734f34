/* Maxima of bytes over windows, channels last, with NEON; see maxpool_nhwc.h. */
#include "maxpool_nhwc.h"

#if PQC_ARM
#include <arm_neon.h>

PQC_INLINE void take16(const pqc_maxpool_params *g, const uint8_t *x, uint8_t *y)
{
    uint8x16_t most = vdupq_n_u8(0);
    for (ptrdiff_t i = 0; i < g->kh; i++, x += g->tap_row)
        for (ptrdiff_t j = 0; j < g->kw; j++)
            most = vmaxq_u8(most, vld1q_u8(x + j * g->tap_pixel));
    vst1q_u8(y, most);
}

/* At least 16 channels: the last vector overlaps the previous one. */
void pqc_maxpool_nhwc_neon(const pqc_maxpool_params *g, ptrdiff_t pixels, uint8_t *restrict y)
{
    if (g->channels < 16) {
        pqc_maxpool_nhwc_scalar(g, pixels, y);
        return;
    }
    for (ptrdiff_t p = 0; p < pixels; p++, y += g->y_pixel)
        for (ptrdiff_t c = 0; c < g->channels; c += 16) {
            ptrdiff_t at = pqc_min(c, g->channels - 16);
            take16(g, g->x + p * g->step + at, y + at);
        }
}

#endif
