/* u8 x s8 convolution rows whose lanes are pixels, to float32 CHW, with AVX2; see conv_chw_u8s8.h. */
#include "conv_chw_u8s8.h"

#include <string.h>

#if PQC_X86
#include "requantize/requantize_avx2.h"

#define INLINE AVX2 PQC_INLINE

/* Both operands are widened to 16 bits, as pairs of bytes 0 and 2 and of bytes 1 and 3 of a c4 block, so that no byte
 * changes lanes; then multiplied and added in pairs (vpmaddwd).  The pixels of a pass are widened once for all
 * channels, the weights once for all pixels.  A tile is up to 6 channels by up to 2 vectors of 8 pixels: 12 sums, 2
 * activations, 1 weight. */
enum { MAX_CHANNELS = 6, MAX_KR_GROUPS = 128, VECTORS = 2, PASS = 8 * VECTORS, KR_WORDS = 32 };

typedef struct {
    _Alignas(32) int16_t
        x[VECTORS * MAX_KR_GROUPS * KR_WORDS]; /* vectors x kr groups x 2 pairs x 8 pixels x 2 */
    int16_t w[64 * MAX_KR_GROUPS * 4];         /* tiles x kr groups x channels x 4 */
} wide_operands;

/* Tap-packed: shuffle control for the bytes of 4 pixels' c4 blocks in 16 bytes, twice. */
INLINE __m256i kw4_places_of(const pqc_conv_chw_params *g)
{
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)pqc_kw4_place(g, i / 4, i % 4);
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

/* The c4 blocks of 8 pixels; x points to the first one's. */
INLINE __m256i c4_at(const uint8_t *x, const bool kw4, int stride, __m256i kw4_places)
{
    if (!kw4)
        return _mm256_loadu_si256((const __m256i *)(const void *)x);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)x);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(x + 4 * stride));
    return _mm256_shuffle_epi8(_mm256_set_m128i(high, low), kw4_places);
}

/* Stores the first `pixels` of 8 results. */
INLINE void store(float *y, ptrdiff_t pixels, __m256 result, bool stream)
{
    if (stream && pixels >= 8 && ((uintptr_t)y & 31) == 0)
        _mm256_stream_ps(y, result);
    else
        store_first(y, result, pixels);
}

/* Where vector p / 8 of a row begins.  The last one moves back to be full, if the row has 8 pixels. */
static inline ptrdiff_t vector_begin(ptrdiff_t p, ptrdiff_t pixels)
{
    return p + 8 > pixels && pixels >= 8 ? pixels - 8 : p;
}

static int tiles_of(int channels)
{
    return (int)pqc_div_round_up(channels, MAX_CHANNELS);
}

static int tile_begin(int channels, int tile)
{
    return (int)pqc_part_begin(channels, tiles_of(channels), tile);
}

AVX2 static void widen_weights(const pqc_conv_chw_params *g, int16_t *to)
{
    for (int t = 0; t < tiles_of(g->channels); t++)
        for (ptrdiff_t j = 0; j < g->k; j++)
            for (int c = tile_begin(g->channels, t); c < tile_begin(g->channels, t + 1); c++) {
                int32_t c4;
                memcpy(&c4, g->w + j * g->k_stride + 4 * c, 4);
                __m128i w = _mm_cvtsi32_si128(c4), first = _mm_slli_epi16(w, 8);
                w = _mm_srai_epi16(_mm_unpacklo_epi32(first, w), 8);
                _mm_storel_epi64((__m128i *)(void *)to, w);
                to += 4;
            }
}

INLINE void widen_pixels(const pqc_conv_chw_params *g, const uint8_t *x, const bool kw4,
                         __m256i kw4_places, int16_t *to)
{
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, to += KR_WORDS) {
        __m256i c4 = c4_at(x + *offset, kw4, g->stride, kw4_places);
        store_words(to, _mm256_and_si256(c4, _mm256_set1_epi32(0x00ff00ff)));
        store_words(to + 16, _mm256_srli_epi16(c4, 8));
    }
}

/* Where the sums of some channels go. */
typedef struct {
    const int32_t *compensation;
    pqc_output_f32 to;
    ptrdiff_t pixels, at[VECTORS]; /* pixels of the row; where the vectors begin */
} row_output;

static inline row_output row_output_of(const pqc_conv_chw_params *g, int first, ptrdiff_t pixels,
                                       float *y)
{
    row_output o = {g->compensation + first, g->to, pixels, {0}};
    o.to.y = y;
    o.to = pqc_output_f32_from(&o.to, first);
    return o;
}

/* Stores V vectors of sums of one channel. */
INLINE void store_channel(row_output o, int c, const int V, const __m256i *sums)
{
    output8 of = output8_of_channel(&o.to, c);
    __m256i compensation = _mm256_set1_epi32(o.compensation[c]);
    float *y = o.to.y + c * o.to.channel_stride;
    PQC_UNROLL(2)
    for (int v = 0; v < V; v++)
        store(y + o.at[v], o.pixels - o.at[v], finish8(_mm256_add_epi32(sums[v], compensation), of),
              o.to.stream);
}

/* Sums of C channels by V vectors.  C and V are constants after inlining; vectors of x are `vector` words apart. */
INLINE void tile(const int16_t *x, ptrdiff_t vector, const int16_t *w, ptrdiff_t kr_groups,
                 const int C, const int V, row_output o)
{
    __m256i sums[MAX_CHANNELS][VECTORS];
    PQC_UNROLL(6)
    for (int c = 0; c < C; c++)
        sums[c][0] = sums[c][1] = _mm256_setzero_si256();
    for (; kr_groups > 0; kr_groups--, x += KR_WORDS, w += 4 * C) {
        PQC_UNROLL(2)
        for (int pair = 0; pair < 2; pair++) {
            const __m256i *at = (const __m256i *)(const void *)(x + 16 * pair);
            __m256i x0 = _mm256_load_si256(at);
            __m256i x1 = V == 2 ? _mm256_load_si256(at + vector / 16) : x0;
            PQC_KEEP_IN_REGISTERS(x0, x1);
            PQC_UNROLL(6)
            for (int c = 0; c < C; c++) {
                __m256i weights = pair_at(w + 4 * c + 2 * pair);
                sums[c][0] = _mm256_add_epi32(sums[c][0], _mm256_madd_epi16(x0, weights));
                if (V == 2)
                    sums[c][1] = _mm256_add_epi32(sums[c][1], _mm256_madd_epi16(x1, weights));
                PQC_KEEP_IN_REGISTERS(sums[c][0],
                                      sums[c][1]); /* or GCC uses two registers per sum */
            }
        }
    }
    PQC_UNROLL(6)
    for (int c = 0; c < C; c++)
        store_channel(o, c, V, sums[c]);
}

INLINE void any_tile(const int16_t *x, ptrdiff_t vector, const int16_t *w, ptrdiff_t kr_groups,
                     int channels, const int V, row_output o)
{
    switch (channels) {
    case 1:
        tile(x, vector, w, kr_groups, 1, V, o);
        break;
    case 2:
        tile(x, vector, w, kr_groups, 2, V, o);
        break;
    case 3:
        tile(x, vector, w, kr_groups, 3, V, o);
        break;
    case 4:
        tile(x, vector, w, kr_groups, 4, V, o);
        break;
    case 5:
        tile(x, vector, w, kr_groups, 5, V, o);
        break;
    default:
        tile(x, vector, w, kr_groups, 6, V, o);
        break;
    }
}

/* Up to PASS pixels from `begin`, all channels. */
INLINE void pass(const pqc_conv_chw_params *g, const uint8_t *x, const bool kw4, __m256i kw4_places,
                 wide_operands *wide, ptrdiff_t begin, ptrdiff_t pixels, float *y)
{
    ptrdiff_t pixel_bytes = kw4 ? g->stride : 4, vector = KR_WORDS * g->k;
    ptrdiff_t at[VECTORS] = {vector_begin(begin, pixels), vector_begin(begin + 8, pixels)};
    bool both = begin + 8 < pixels;
    widen_pixels(g, x + at[0] * pixel_bytes, kw4, kw4_places, wide->x);
    if (both)
        widen_pixels(g, x + at[1] * pixel_bytes, kw4, kw4_places, wide->x + vector);
    for (int t = 0; t < tiles_of(g->channels); t++) {
        int first = tile_begin(g->channels, t), channels = tile_begin(g->channels, t + 1) - first;
        const int16_t *w = wide->w + 4 * g->k * first;
        row_output o = row_output_of(g, first, pixels, y);
        o.at[0] = at[0];
        o.at[1] = at[1];
        if (both)
            any_tile(wide->x, vector, w, g->k, channels, 2, o);
        else
            any_tile(wide->x, vector, w, g->k, channels, 1, o);
    }
}

/* For more kr groups than the buffers hold: 4 channels by 8 pixels at a time, widened in the loop. */
INLINE void long_tile(const pqc_conv_chw_params *g, const uint8_t *x, const bool kw4,
                      __m256i kw4_places, row_output o)
{
    __m256i sums[4];
    PQC_UNROLL(4)
    for (int c = 0; c < 4; c++)
        sums[c] = _mm256_setzero_si256();
    for (ptrdiff_t j = 0; j < g->k; j++) {
        __m256i c4 = c4_at(x + g->offset[j], kw4, g->stride, kw4_places);
        __m256i even = _mm256_and_si256(c4, _mm256_set1_epi32(0x00ff00ff));
        __m256i odd = _mm256_srli_epi16(c4, 8);
        PQC_UNROLL(4)
        for (int c = 0; c < 4; c++) {
            int32_t bytes;
            memcpy(&bytes, g->w + j * g->k_stride + 4 * c, 4);
            __m256i w = _mm256_set1_epi32(bytes);
            __m256i first = _mm256_madd_epi16(even, _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
            __m256i second = _mm256_madd_epi16(odd, _mm256_srai_epi16(w, 8));
            sums[c] = _mm256_add_epi32(sums[c], _mm256_add_epi32(first, second));
        }
    }
    PQC_UNROLL(4)
    for (int c = 0; c < 4; c++)
        if (c < g->channels)
            store_channel(o, c, 1, &sums[c]);
}

INLINE void row_of(const pqc_conv_chw_params *g, const uint8_t *x, const bool kw4,
                   wide_operands *wide, ptrdiff_t pixels, float *y)
{
    __m256i kw4_places = kw4_places_of(g);
    if (g->k <= MAX_KR_GROUPS) {
        for (ptrdiff_t p = 0; p < pixels; p += PASS)
            pass(g, x, kw4, kw4_places, wide, p, pixels, y);
        return;
    }
    for (int c = 0; c < g->channels; c += 4) {
        pqc_conv_chw_params part = pqc_conv_chw_part(g, c, 4);
        row_output o = row_output_of(&part, 0, pixels, y + c * g->to.channel_stride);
        for (ptrdiff_t p = 0; p < pixels; p += 8) {
            o.at[0] = vector_begin(p, pixels);
            long_tile(&part, x + o.at[0] * (kw4 ? g->stride : 4), kw4, kw4_places, o);
        }
    }
}

AVX2 void pqc_conv_chw_u8s8_avx2(const pqc_conv_chw_params *g, ptrdiff_t pixels)
{
    wide_operands wide;
    if (g->k <= MAX_KR_GROUPS)
        widen_weights(g, wide.w);
    for (ptrdiff_t row = 0; row < g->rows; row++) {
        const uint8_t *x = g->x + row * g->x_row;
        float *y = g->to.y + row * g->y_row;
        if (g->dilation != 0)
            row_of(g, x, true, &wide, pixels, y);
        else
            row_of(g, x, false, &wide, pixels, y);
    }
    if (g->to.stream)
        _mm_sfence();
}

#endif
