/* Depthwise convolution of float32, channels last, with NEON; see dwconv_f32.h. */
#include "dwconv_f32.h"

#if PQC_ARM
#include <arm_neon.h>

enum { PIXELS = 8 };

/* 4 channels of `pixels` pixels, a constant after inlining. */
PQC_INLINE void multiply(const pqc_dwconv_f32 *d, ptrdiff_t c, ptrdiff_t p, const int pixels)
{
    const float *x = d->x + p * d->x_pixel + c, *w = d->w + c;
    float *y = d->y + p * d->y_pixel + c;
    float32x4_t acc[PIXELS];
    PQC_UNROLL(8)
    for (int r = 0; r < pixels; r++)
        acc[r] = vld1q_f32(y + r * d->y_pixel);
    for (ptrdiff_t i = 0; i < d->kh; i++)
        for (ptrdiff_t j = 0; j < d->kw; j++) {
            const float *at = x + i * d->x_row + j * d->x_tap;
            float32x4_t weight = vld1q_f32(w + i * d->w_row + j * d->w_tap);
            PQC_UNROLL(8)
            for (int r = 0; r < pixels; r++)
                acc[r] = vfmaq_f32(acc[r], vld1q_f32(at + r * d->x_pixel), weight);
        }
    PQC_UNROLL(8)
    for (int r = 0; r < pixels; r++)
        vst1q_f32(y + r * d->y_pixel, acc[r]);
}

void pqc_dwconv_f32_neon(const pqc_dwconv_f32 *d)
{
    ptrdiff_t c = 0;
    for (; c + 4 <= d->channels; c += 4) {
        ptrdiff_t p = 0;
        for (; p + PIXELS <= d->pixels; p += PIXELS)
            multiply(d, c, p, PIXELS);
        for (; p < d->pixels; p++)
            multiply(d, c, p, 1);
    }
    pqc_dwconv_f32 rest = *d;
    rest.x += c;
    rest.w += c;
    rest.y += c;
    rest.channels -= c;
    pqc_dwconv_f32_scalar(&rest);
}

#endif
