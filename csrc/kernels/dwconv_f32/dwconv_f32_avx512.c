/* Depthwise convolution of float32, channels last, with AVX-512; see dwconv_f32.h. */
#include "dwconv_f32.h"

#if PQC_X86
#include "avx512.h"

enum { PIXELS = 12 };

/* 16 channels of `pixels` pixels, a constant after inlining. */
AVX512 PQC_INLINE void multiply(const pqc_dwconv_f32 *d, ptrdiff_t c, ptrdiff_t p, const int pixels)
{
    const float *x = d->x + p * d->x_pixel + c, *w = d->w + c;
    float *y = d->y + p * d->y_pixel + c;
    __mmask16 tail = tail16(d->channels - c);
    __m512 acc[PIXELS];
    PQC_UNROLL(12)
    for (int r = 0; r < pixels; r++)
        acc[r] = _mm512_maskz_loadu_ps(tail, y + r * d->y_pixel);
    for (ptrdiff_t i = 0; i < d->kh; i++)
        for (ptrdiff_t j = 0; j < d->kw; j++) {
            const float *at = x + i * d->x_row + j * d->x_tap;
            __m512 weight = _mm512_maskz_loadu_ps(tail, w + i * d->w_row + j * d->w_tap);
            PQC_UNROLL(12)
            for (int r = 0; r < pixels; r++)
                acc[r] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(tail, at + r * d->x_pixel), weight,
                                         acc[r]);
        }
    PQC_UNROLL(12)
    for (int r = 0; r < pixels; r++)
        _mm512_mask_storeu_ps(y + r * d->y_pixel, tail, acc[r]);
}

AVX512 void pqc_dwconv_f32_avx512(const pqc_dwconv_f32 *d)
{
    for (ptrdiff_t c = 0; c < d->channels; c += 16) {
        ptrdiff_t p = 0;
        for (; p + PIXELS <= d->pixels; p += PIXELS)
            multiply(d, c, p, PIXELS);
        for (; p + 4 <= d->pixels; p += 4)
            multiply(d, c, p, 4);
        for (; p < d->pixels; p++)
            multiply(d, c, p, 1);
    }
}

#endif
