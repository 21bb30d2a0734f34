/* Depthwise convolution of float32, channels last, with AVX2; see dwconv_f32.h. */
#include "dwconv_f32.h"

#if PQC_X86
#include "avx2.h"

enum { PIXELS = 8 };

AVX2 PQC_INLINE __m256 load(const float *x, ptrdiff_t n, const bool whole)
{
    return whole ? _mm256_loadu_ps(x) : first_of(x, n);
}

/* 8 channels of `pixels` pixels, or their first n.  `pixels` and `whole` (n is 8) are constants after inlining. */
AVX2 PQC_INLINE void multiply(const pqc_dwconv_f32 *d, ptrdiff_t c, ptrdiff_t n, ptrdiff_t p,
                              const int pixels, const bool whole)
{
    const float *x = d->x + p * d->x_pixel + c, *w = d->w + c;
    float *y = d->y + p * d->y_pixel + c;
    __m256 acc[PIXELS];
    PQC_UNROLL(8)
    for (int r = 0; r < pixels; r++)
        acc[r] = load(y + r * d->y_pixel, n, whole);
    for (ptrdiff_t i = 0; i < d->kh; i++)
        for (ptrdiff_t j = 0; j < d->kw; j++) {
            const float *at = x + i * d->x_row + j * d->x_tap;
            __m256 weight = load(w + i * d->w_row + j * d->w_tap, n, whole);
            PQC_UNROLL(8)
            for (int r = 0; r < pixels; r++)
                acc[r] = _mm256_fmadd_ps(load(at + r * d->x_pixel, n, whole), weight, acc[r]);
        }
    PQC_UNROLL(8)
    for (int r = 0; r < pixels; r++)
        store_first(y + r * d->y_pixel, acc[r], n);
}

AVX2 void pqc_dwconv_f32_avx2(const pqc_dwconv_f32 *d)
{
    ptrdiff_t c = 0;
    for (; c + 8 <= d->channels; c += 8) {
        ptrdiff_t p = 0;
        for (; p + PIXELS <= d->pixels; p += PIXELS)
            multiply(d, c, 8, p, PIXELS, true);
        for (; p < d->pixels; p++)
            multiply(d, c, 8, p, 1, true);
    }
    if (c < d->channels)
        for (ptrdiff_t p = 0; p < d->pixels; p++)
            multiply(d, c, d->channels - c, p, 1, false);
}

#endif
