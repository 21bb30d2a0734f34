#include "lines_s8.h"
#include "pqc.h"

#include <string.h>

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

/* Both operands are widened to 16 bits, multiplied and added in pairs (vpmaddwd): the pixels of a pass once for all
 * channels, the weights once for all pixels.  A tile is C channels by 8 pixels: two partial sums for each 4 pixels of a
 * channel, 2 activations, 1 weight. */
enum { MOST_CHANNELS = 6, MOST_STEPS = 128, PASS = 16 };

typedef struct {
    _Alignas(32) int16_t x[PASS / 8 * MOST_STEPS * 32]; /* vectors of 8 pixels x steps x 8 x 4 */
    int16_t w[64 * MOST_STEPS * 4];                     /* tiles x steps x channels x 4 */
} wide_operands;

/* Columns: the places of 4 pixels' quads in 16 bytes, twice. */
INLINE __m256i places_of(const pqc_lines_s8_block *g)
{
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)pqc_column_place(g, i / 4, i % 4);
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

/* 8 pixels' quads; x is that of the first. */
INLINE __m256i quads_at(const uint8_t *x, const bool columns, int stride, __m256i places)
{
    if (!columns)
        return _mm256_loadu_si256((const __m256i *)(const void *)x);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)x);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(x + 4 * stride));
    return _mm256_shuffle_epi8(_mm256_set_m128i(high, low), places);
}

/* The first `pixels` < 8 of 8 results. */
AVX2 static void put_part(float *y, ptrdiff_t pixels, __m256 result)
{
    float part[8];
    _mm256_storeu_ps(part, result);
    for (ptrdiff_t p = 0; p < pixels; p++)
        y[p] = part[p];
}

/* The first `pixels` of 8 results, or all of them. */
INLINE void put(float *y, ptrdiff_t pixels, __m256 result, bool stream)
{
    if (pixels < 8)
        put_part(y, pixels, result);
    else if (stream && ((uintptr_t)y & 31) == 0)
        _mm256_stream_ps(y, result);
    else
        _mm256_storeu_ps(y, result);
}

/* Where vector `p / 8` begins in a line of `pixels`: the last one steps back so as to be whole, if there are 8. */
static inline ptrdiff_t vector_begin(ptrdiff_t p, ptrdiff_t pixels)
{
    return p + 8 > pixels && pixels >= 8 ? pixels - 8 : p;
}

static int tiles_of(int channels)
{
    return (channels + MOST_CHANNELS - 1) / MOST_CHANNELS;
}

static int tile_begin(int channels, int tile)
{
    int tiles = tiles_of(channels), rest = channels % tiles;
    return channels / tiles * tile + (tile < rest ? tile : rest);
}

AVX2 static void widen_weights(const pqc_lines_s8_block *g, int16_t *to)
{
    for (int t = 0; t < tiles_of(g->channels); t++)
        for (ptrdiff_t j = 0; j < g->k; j++)
            for (int c = tile_begin(g->channels, t); c < tile_begin(g->channels, t + 1); c++) {
                int32_t quad;
                memcpy(&quad, g->w + j * g->w_step + 4 * c, 4);
                _mm_storel_epi64((__m128i *)(void *)to, _mm_cvtepi8_epi16(_mm_cvtsi32_si128(quad)));
                to += 4;
            }
}

INLINE void widen_pixels(const pqc_lines_s8_block *g, const uint8_t *x, const bool columns,
                         __m256i places, int16_t *to)
{
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, to += 32) {
        __m256i quads = quads_at(x + *offset, columns, g->stride, places);
        __m256i low = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(quads));
        __m256i high = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(quads, 1));
        _mm256_store_si256((__m256i *)(void *)to, low);
        _mm256_store_si256((__m256i *)(void *)(to + 16), high);
    }
}

/* What becomes of some channels' sums. */
typedef struct {
    const int32_t *start;
    const float *scale, *bias;
    float *y;
    ptrdiff_t pitch, pixels;
    bool stream;
} output;

static inline output output_of(const pqc_lines_s8_block *g, int first, ptrdiff_t pixels, float *y,
                               ptrdiff_t pitch)
{
    return (output){.start = g->start + first,
                    .scale = g->scale + first,
                    .bias = g->bias + first,
                    .y = y + first * pitch,
                    .pitch = pitch,
                    .pixels = pixels,
                    .stream = g->stream};
}

INLINE __m256 result_of(output o, int c, __m256i low, __m256i high)
{
    __m256i sum = _mm256_add_epi32(joined(low, high), _mm256_set1_epi32(o.start[c]));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(o.scale[c]),
                           _mm256_set1_ps(o.bias[c]));
}

/* C channels; C is a constant where this is inlined. */
INLINE void tile(const int16_t *x, const int16_t *w, ptrdiff_t steps, const int C, output o)
{
    __m256i low[MOST_CHANNELS], high[MOST_CHANNELS];
    PQC_UNROLL(6)
    for (int c = 0; c < C; c++)
        low[c] = high[c] = _mm256_setzero_si256();
    for (; steps > 0; steps--, x += 32, w += 4 * C) {
        __m256i x0 = _mm256_load_si256((const __m256i *)(const void *)x);
        __m256i x1 = _mm256_load_si256((const __m256i *)(const void *)(x + 16));
        PQC_UNROLL(6)
        for (int c = 0; c < C; c++) {
            __m256i weights = quad_of(w + 4 * c);
            low[c] = _mm256_add_epi32(low[c], _mm256_madd_epi16(x0, weights));
            high[c] = _mm256_add_epi32(high[c], _mm256_madd_epi16(x1, weights));
            PQC_KEEP_IN_REGISTERS(low[c], high[c]); /* else GCC gives a sum two registers */
        }
    }
    PQC_UNROLL(6)
    for (int c = 0; c < C; c++, o.y += o.pitch)
        put(o.y, o.pixels, result_of(o, c, low[c], high[c]), o.stream);
}

INLINE void any_tile(const int16_t *x, const int16_t *w, ptrdiff_t steps, int channels, output o)
{
    switch (channels) {
    case 1:
        tile(x, w, steps, 1, o);
        break;
    case 2:
        tile(x, w, steps, 2, o);
        break;
    case 3:
        tile(x, w, steps, 3, o);
        break;
    case 4:
        tile(x, w, steps, 4, o);
        break;
    case 5:
        tile(x, w, steps, 5, o);
        break;
    default:
        tile(x, w, steps, 6, o);
        break;
    }
}

/* Up to PASS pixels from `begin` on, all channels. */
INLINE void pass(const pqc_lines_s8_block *g, const uint8_t *x, const bool columns, __m256i places,
                 wide_operands *wide, ptrdiff_t begin, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    ptrdiff_t step = columns ? g->stride : 4, end = pqc_least(begin + PASS, pixels);
    ptrdiff_t steps = 32 * g->k;
    int16_t *to = wide->x;
    for (ptrdiff_t p = begin; p < end; p += 8, to += steps)
        widen_pixels(g, x + vector_begin(p, pixels) * step, columns, places, to);
    for (int t = 0; t < tiles_of(g->channels); t++) {
        int first = tile_begin(g->channels, t), channels = tile_begin(g->channels, t + 1) - first;
        const int16_t *from = wide->x, *w = wide->w + 4 * g->k * first;
        for (ptrdiff_t p = begin; p < end; p += 8, from += steps) {
            ptrdiff_t at = vector_begin(p, pixels);
            any_tile(from, w, g->k, channels, output_of(g, first, pixels - at, y + at, pitch));
        }
    }
}

/* Lines of more steps than there is room for: 4 channels at a time, widened in the loop. */
INLINE void long_tile(const pqc_lines_s8_block *g, const uint8_t *x, const bool columns,
                      __m256i places, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    __m256i low[4], high[4];
    PQC_UNROLL(4)
    for (int c = 0; c < 4; c++)
        low[c] = high[c] = _mm256_setzero_si256();
    for (ptrdiff_t j = 0; j < g->k; j++) {
        __m256i quads = quads_at(x + g->offset[j], columns, g->stride, places);
        __m256i x0 = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(quads));
        __m256i x1 = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(quads, 1));
        PQC_UNROLL(4)
        for (int c = 0; c < 4; c++) {
            int32_t quad;
            memcpy(&quad, g->w + j * g->w_step + 4 * c, 4);
            __m256i weights = _mm256_cvtepi8_epi16(_mm_set1_epi32(quad));
            low[c] = _mm256_add_epi32(low[c], _mm256_madd_epi16(x0, weights));
            high[c] = _mm256_add_epi32(high[c], _mm256_madd_epi16(x1, weights));
        }
    }
    output o = output_of(g, 0, pixels, y, pitch);
    PQC_UNROLL(4)
    for (int c = 0; c < 4; c++)
        if (c < g->channels)
            put(y + c * pitch, pixels, result_of(o, c, low[c], high[c]), false);
}

INLINE void row_of(const pqc_lines_s8_block *g, const uint8_t *x, const bool columns,
                   wide_operands *wide, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    __m256i places = places_of(g);
    if (g->k <= MOST_STEPS) {
        for (ptrdiff_t p = 0; p < pixels; p += PASS)
            pass(g, x, columns, places, wide, p, pixels, y, pitch);
        return;
    }
    for (int c = 0; c < g->channels; c += 4) {
        pqc_lines_s8_block part = pqc_lines_part(g, c, 4);
        for (ptrdiff_t p = 0; p < pixels; p += 8) {
            ptrdiff_t at = vector_begin(p, pixels);
            long_tile(&part, x + at * (columns ? g->stride : 4), columns, places, pixels - at,
                      y + c * pitch + at, pitch);
        }
    }
}

AVX2 void pqc_lines_s8_avx2(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                            ptrdiff_t pitch)
{
    wide_operands wide;
    if (g->k <= MOST_STEPS)
        widen_weights(g, wide.w);
    for (ptrdiff_t row = 0; row < g->rows; row++) {
        const uint8_t *x = g->x + row * g->x_row;
        float *to = y + row * g->y_row;
        if (g->dilation != 0)
            row_of(g, x, true, &wide, pixels, to, pitch);
        else
            row_of(g, x, false, &wide, pixels, to, pitch);
    }
    if (g->stream)
        _mm_sfence();
}

#endif
