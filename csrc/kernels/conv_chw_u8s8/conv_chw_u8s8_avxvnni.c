/* u8 x s8 convolution rows whose lanes are pixels, to float32 CHW, with AVX-VNNI, 256 bits wide; see conv_chw_u8s8.h. */
#include "conv_chw_u8s8.h"

#if PQC_X86
#include "requantize/requantize_avx2.h"

#include <immintrin.h>
#include <string.h>

#define TARGET PQC_TARGET_AVXVNNI
#define INLINE TARGET PQC_INLINE

enum { LANES = 8 };

typedef __m256i vector, accumulator;

INLINE accumulator begin(const pqc_conv_chw_params *g, int c)
{
    return _mm256_set1_epi32(g->compensation[c]);
}

/* The c4 blocks of 8 pixels; tap-packed, 16 bytes per 4 pixels are shuffled into place. */
INLINE vector c4_at(const uint8_t *x, const bool kw4, int stride, vector kw4_places)
{
    if (!kw4)
        return _mm256_loadu_si256((const __m256i *)(const void *)x);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)x);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(x + 4 * stride));
    return _mm256_shuffle_epi8(_mm256_set_m128i(high, low), kw4_places);
}

INLINE vector kw4_places_of(const pqc_conv_chw_params *g)
{
    uint8_t bytes[32];
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)pqc_kw4_place(g, i / 4 % 4, i % 4);
    return _mm256_loadu_si256((const __m256i *)(const void *)bytes);
}

INLINE vector weights_at(const int8_t *w)
{
    int32_t bytes;
    memcpy(&bytes, w, 4);
    return _mm256_set1_epi32(bytes);
}

INLINE accumulator add_products(accumulator acc, vector x, vector w)
{
    return _mm256_dpbusd_avx_epi32(acc, x, w);
}

INLINE void store(const pqc_conv_chw_params *g, int c, accumulator sum, ptrdiff_t pixels, float *y)
{
    float result[8];
    __m256 value = finish8(sum, output8_of_channel(&g->to, c));
    if (pixels >= 8) {
        _mm256_storeu_ps(y, value);
        return;
    }
    _mm256_storeu_ps(result, value);
    memcpy(y, result, (size_t)pixels * sizeof *y);
}

#include "conv_chw_u8s8_rows.h"

TARGET void pqc_conv_chw_u8s8_avxvnni(const pqc_conv_chw_params *g, ptrdiff_t pixels)
{
    all_channels(g, pixels);
}

#endif
