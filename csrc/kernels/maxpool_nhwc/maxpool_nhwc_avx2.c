/* Maxima of bytes over windows, channels last, with AVX2; see maxpool_nhwc.h. */
#include "maxpool_nhwc.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

INLINE __m128i load16(const uint8_t *x)
{
    return _mm_loadu_si128((const __m128i *)(const void *)x);
}

INLINE void take32(const pqc_maxpool_params *g, const uint8_t *x, uint8_t *y)
{
    __m256i most = _mm256_setzero_si256();
    for (ptrdiff_t i = 0; i < g->kh; i++, x += g->tap_row)
        for (ptrdiff_t j = 0; j < g->kw; j++)
            most = _mm256_max_epu8(most, load_words(x + j * g->tap_pixel));
    store_words(y, most);
}

INLINE void take16(const pqc_maxpool_params *g, const uint8_t *x, uint8_t *y)
{
    __m128i most = _mm_setzero_si128();
    for (ptrdiff_t i = 0; i < g->kh; i++, x += g->tap_row)
        for (ptrdiff_t j = 0; j < g->kw; j++)
            most = _mm_max_epu8(most, load16(x + j * g->tap_pixel));
    _mm_storeu_si128((__m128i *)(void *)y, most);
}

/* At least 16 channels: the last vectors overlap the previous ones. */
AVX2 void pqc_maxpool_nhwc_avx2(const pqc_maxpool_params *g, ptrdiff_t pixels, uint8_t *restrict y)
{
    ptrdiff_t channels = g->channels, wide = channels / 32 * 32, left = channels - wide;
    if (channels < 16) {
        pqc_maxpool_nhwc_scalar(g, pixels, y);
        return;
    }
    for (ptrdiff_t p = 0; p < pixels; p++, y += g->y_pixel) {
        const uint8_t *x = g->x + p * g->step;
        for (ptrdiff_t c = 0; c < wide; c += 32)
            take32(g, x + c, y + c);
        if (left > 16 && wide > 0)
            take32(g, x + channels - 32, y + channels - 32);
        else if (left > 0) {
            if (left > 16)
                take16(g, x, y);
            take16(g, x + channels - 16, y + channels - 16);
        }
    }
}

#endif
