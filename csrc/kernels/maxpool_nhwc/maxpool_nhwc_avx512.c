/* Maxima of bytes over windows, channels last, with AVX-512; see maxpool_nhwc.h. */
#include "maxpool_nhwc.h"

#if PQC_X86
#include "avx512.h"

/* Up to 64 channels, masked, of one pixel. */
AVX512 PQC_INLINE __m512i most_of(const pqc_maxpool_params *g, const uint8_t *x, __mmask64 mask)
{
    __m512i most = _mm512_setzero_si512();
    for (ptrdiff_t i = 0; i < g->kh; i++, x += g->tap_row)
        for (ptrdiff_t j = 0; j < g->kw; j++)
            most = _mm512_max_epu8(most, _mm512_maskz_loadu_epi8(mask, x + j * g->tap_pixel));
    return most;
}

AVX512 void pqc_maxpool_nhwc_avx512(const pqc_maxpool_params *g, ptrdiff_t pixels,
                                    uint8_t *restrict y)
{
    for (ptrdiff_t p = 0; p < pixels; p++, y += g->y_pixel)
        for (ptrdiff_t c = 0; c < g->channels; c += 64) {
            ptrdiff_t left = pqc_min(g->channels - c, 64);
            __mmask64 mask = ~(__mmask64)0 >> (64 - left);
            _mm512_mask_storeu_epi8(y + c, mask, most_of(g, g->x + p * g->step + c, mask));
        }
}

#endif
