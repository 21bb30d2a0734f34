#include "lines_s8.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 static inline __attribute__((always_inline))

/* Columns: the places of 4 pixels' quads in 16 bytes. */
INLINE __m128i places_of(const pqc_lines_s8_block *g)
{
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)pqc_column_place(g, i / 4, i % 4);
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/* A channel's four weights in every 64 bits, widened. */
INLINE __m256i weights_at(const int8_t *w)
{
    int32_t bytes;
    __builtin_memcpy(&bytes, w, 4);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(bytes));
}

INLINE void store(const pqc_lines_s8_block *g, int c, __m256i low, __m256i high, ptrdiff_t pixels,
                  float *y)
{
    float result[8];
    __m256i sum = _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
    sum = _mm256_add_epi32(sum, _mm256_set1_epi32(g->start[c]));
    __m256 value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(g->scale[c]),
                                   _mm256_set1_ps(g->bias[c]));
    if (pixels >= 8) {
        _mm256_storeu_ps(y, value);
        return;
    }
    _mm256_storeu_ps(result, value);
    __builtin_memcpy(y, result, (size_t)pixels * sizeof *y);
}

/* The weights of a block, widened once for all its pixels. */
enum { MOST_STEPS = 256 };

typedef struct {
    int16_t w[MOST_STEPS * 4 * 4];
} wide_weights;

AVX2 static void widen(const pqc_lines_s8_block *g, int channels, wide_weights *wide)
{
    int16_t *to = wide->w;
    for (ptrdiff_t j = 0; j < g->k; j++)
        for (int i = 0; i < 4 * channels; i++)
            *to++ = g->w[j * g->w_step + i];
}

INLINE __m256i wide_at(const int16_t *w)
{
    int64_t quad;
    __builtin_memcpy(&quad, w, 8);
    return _mm256_set1_epi64x(quad);
}

INLINE __m256i widened(const uint8_t *x, const bool columns, __m128i places)
{
    __m128i quads = _mm_loadu_si128((const __m128i *)(const void *)x);
    if (columns)
        quads = _mm_shuffle_epi8(quads, places);
    return _mm256_cvtepu8_epi16(quads);
}

/* C channels by 8 pixels, the sums of 4 pixels in two parts each: 2 * C sums, 2 activations.  C, `columns` and whether
 * there are widened weights are constants where this is inlined. */
INLINE void tile(const pqc_lines_s8_block *g, const uint8_t *x, const int C, const bool columns,
                 const bool wide, const int16_t *w16, __m128i places, ptrdiff_t pixels, float *y,
                 ptrdiff_t pitch)
{
    __m256i low[4], high[4];
    ptrdiff_t apart = columns ? 4 * g->stride : 16, w_step = g->w_step;
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++)
        low[c] = high[c] = _mm256_setzero_si256();
    const int8_t *w = g->w;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end; offset++) {
        __m256i first = widened(x + *offset, columns, places);
        __m256i second = widened(x + *offset + apart, columns, places);
        PQC_UNROLL(4)
        for (int c = 0; c < C; c++) {
            __m256i weights = wide ? wide_at(w16 + 4 * c) : weights_at(w + 4 * c);
            low[c] = _mm256_add_epi32(low[c], _mm256_madd_epi16(first, weights));
            high[c] = _mm256_add_epi32(high[c], _mm256_madd_epi16(second, weights));
            __asm__("" : "+x"(low[c]), "+x"(high[c])); /* else GCC gives a sum two registers */
        }
        w += w_step;
        w16 += 4 * C;
    }
    PQC_UNROLL(4)
    for (int c = 0; c < C; c++)
        if (c < g->channels)
            store(g, c, low[c], high[c], pixels, y + c * pitch);
}

INLINE void line(const pqc_lines_s8_block *g, const int C, const bool columns, const bool wide,
                 const int16_t *w16, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    __m128i places = places_of(g);
    ptrdiff_t step = columns ? g->stride : 4;
    for (ptrdiff_t row = 0; row < g->rows; row++)
        for (ptrdiff_t p = 0; p < pixels; p += 8)
            tile(g, g->x + row * g->x_row + p * step, C, columns, wide, w16, places, pixels - p,
                 y + row * g->y_row + p, pitch);
}

AVX2 static void few_channels(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                              ptrdiff_t pitch)
{
    wide_weights wide;
    bool columns = g->dilation != 0, fits = g->k <= MOST_STEPS;
    if (fits)
        widen(g, g->channels > 1 ? 4 : 1, &wide);
    if (!fits)
        columns ? line(g, 4, true, false, wide.w, pixels, y, pitch)
                : line(g, 4, false, false, wide.w, pixels, y, pitch);
    else if (g->channels > 1)
        columns ? line(g, 4, true, true, wide.w, pixels, y, pitch)
                : line(g, 4, false, true, wide.w, pixels, y, pitch);
    else
        columns ? line(g, 1, true, true, wide.w, pixels, y, pitch)
                : line(g, 1, false, true, wide.w, pixels, y, pitch);
}

AVX2 void pqc_lines_s8_avx2(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                            ptrdiff_t pitch)
{
    pqc_lines_s8_block part = *g;
    for (int c = 0; c < g->channels; c += 4) {
        part.channels = g->channels - c < 4 ? g->channels - c : 4;
        part.w = g->w + 4 * c;
        part.start = g->start + c;
        part.sum = g->sum + c;
        part.scale = g->scale + c;
        part.bias = g->bias + c;
        few_channels(&part, pixels, y + c * pitch, pitch);
    }
}

#endif
