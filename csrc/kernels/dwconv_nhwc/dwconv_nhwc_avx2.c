#include "dwconv_nhwc.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

/* 16 channels of a tap as words. */
INLINE __m256i words_at(const uint8_t *x)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)x));
}

/* Adds two taps' products to 16 channels: `low` has channels 0 to 3 and 8 to 11, `high` the others, as unpacking leaves them. */
INLINE void add_pair(__m256i first, __m256i second, const int16_t *w, __m256i *low, __m256i *high)
{
    __m256i w0 = load_words(w), w1 = load_words(w + 16);
    __m256i w_low = _mm256_permute2x128_si256(w0, w1, 0x20);
    __m256i w_high = _mm256_permute2x128_si256(w0, w1, 0x31);
    __m256i x_low = _mm256_unpacklo_epi16(first, second);
    __m256i x_high = _mm256_unpackhi_epi16(first, second);
    /* w0: channels 0 to 7; w_low: 0 to 3 and 8 to 11 */
    *low = _mm256_add_epi32(*low, _mm256_madd_epi16(x_low, w_low));
    *high = _mm256_add_epi32(*high, _mm256_madd_epi16(x_high, w_high));
}

INLINE void store16(__m256i low, __m256i high, const int32_t *compensation, int32_t *acc)
{
    __m256i first = _mm256_permute2x128_si256(low, high, 0x20);
    __m256i second = _mm256_permute2x128_si256(low, high, 0x31);
    store_words(acc, _mm256_add_epi32(first, load_words(compensation)));
    store_words(acc + 8, _mm256_add_epi32(second, load_words(compensation + 8)));
}

AVX2 void pqc_dwconv_nhwc_avx2(const pqc_dwconv_nhwc_params *g, const int32_t *pixel, int pixels,
                               int32_t *acc)
{
    for (ptrdiff_t c = 0; c < g->channels; c += 16)
        for (int p = 0; p < pixels; p++) {
            const uint8_t *x = g->x + pixel[p] + c;
            const int16_t *w = g->w + 2 * c;
            __m256i low = _mm256_setzero_si256(), high = low;
            ptrdiff_t j = 0;
            for (; j + 2 <= g->taps; j += 2, w += g->w_pitch)
                add_pair(words_at(x + g->offset[j]), words_at(x + g->offset[j + 1]), w, &low,
                         &high);
            if (j < g->taps)
                add_pair(words_at(x + g->offset[j]), _mm256_setzero_si256(), w, &low, &high);
            store16(low, high, g->compensation + c, acc + p * g->ld + c);
        }
}

#endif
