#include "few_pixels_avx2.h"
#include "gemm_s8.h"
#include "widen_avx2.h"

#include <string.h>

#if PQC_X86

/* Bytes are widened to 16 bits, multiplied and added in pairs (vpmaddwd): exact, where vpmaddubsw would saturate.
 * Activations are widened once for all channels of the block, into a buffer that stays in the first cache; weights in the
 * loop.  A tile is P pixels by 8 channels: two partial sums for each 4 channels of a pixel, 2 weights, 1 activation. */
enum { MOST_PIXELS = 6 };

typedef struct {
    const int16_t *x; /* of each step: 4 for each of the pixels */
    ptrdiff_t x_step;
    const int8_t *w;
    ptrdiff_t w_step, steps, lanes;
} strip;

/* 4 words, four times. */
INLINE __m256i quad_of(const int16_t *x)
{
    int64_t quad;
    memcpy(&quad, x, 8);
    return _mm256_set1_epi64x(quad);
}

/* Of 4 times 2 partial sums in `low` and in `high`: the 8 sums, in order. */
INLINE __m256i joined(__m256i low, __m256i high)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
}

INLINE __m256i weights_of(const int8_t *w)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)w));
}

/* Adds to 8 channels of P pixels; P is a constant where this is inlined. */
INLINE void tile(strip s, const int P, int32_t *acc)
{
    __m256i low[MOST_PIXELS], high[MOST_PIXELS];
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++)
        low[p] = high[p] = _mm256_setzero_si256();
    for (ptrdiff_t left = s.steps; left > 0; left--, s.x += s.x_step, s.w += s.w_step) {
        __m256i w0 = weights_of(s.w), w1 = weights_of(s.w + 16);
        PQC_UNROLL(6)
        for (int p = 0; p < P; p++) {
            __m256i quad = quad_of(s.x + 4 * p);
            low[p] = _mm256_add_epi32(low[p], _mm256_madd_epi16(quad, w0));
            high[p] = _mm256_add_epi32(high[p], _mm256_madd_epi16(quad, w1));
            PQC_KEEP_IN_REGISTERS(low[p], high[p]); /* else GCC gives a sum two registers */
        }
    }
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        __m256i *at = (__m256i *)(void *)(acc + p * s.lanes);
        _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), joined(low[p], high[p])));
    }
}

AVX2 static void any_tile(strip s, int pixels, int32_t *acc)
{
    switch (pixels) {
    case 1:
        tile(s, 1, acc);
        break;
    case 2:
        tile(s, 2, acc);
        break;
    case 3:
        tile(s, 3, acc);
        break;
    case 4:
        tile(s, 4, acc);
        break;
    case 5:
        tile(s, 5, acc);
        break;
    default:
        tile(s, 6, acc);
        break;
    }
}

/* Where part i of `parts` nearly equal ones of n begins. */
static int part_begin(int n, int parts, int i)
{
    return n / parts * i + (i < n % parts ? i : n % parts);
}

/* All channels of the steps that `wide` holds. */
AVX2 static void widened_steps(const pqc_gemm_s8_block *g, wide_steps wide, int32_t *acc)
{
    int tiles = (wide.pixels + MOST_PIXELS - 1) / MOST_PIXELS;
    strip s = {.x_step = 4 * wide.pixels,
               .w_step = g->step,
               .steps = wide.steps,
               .lanes = PQC_LANES * g->vectors};
    for (int half = 0; half < 2 * g->vectors; half++)
        for (int t = 0; t < tiles; t++) {
            int first = part_begin(wide.pixels, tiles, t);
            s.x = wide.x + 4 * first;
            s.w = g->w + wide.first * s.w_step + half / 2 * g->apart + half % 2 * 32;
            any_tile(s, part_begin(wide.pixels, tiles, t + 1) - first,
                     acc + first * s.lanes + 8 * half);
        }
}

AVX2 void pqc_gemm_s8_avx2(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                           int32_t *acc)
{
    _Alignas(32) int16_t buffer[WIDE_STEPS * WIDE_PIXELS * 4];
    int parts = (pixels + WIDE_PIXELS - 1) / WIDE_PIXELS;
    ptrdiff_t lanes = PQC_LANES * g->vectors;
    if (pixels <= FEW_PIXELS && !g->lowest) {
        pqc_gemm_few_pixels_avx2(g, pixel, pixels, acc);
        return;
    }
    for (int p = 0; p < pixels; p++)
        memcpy(acc + p * lanes, g->start, (size_t)lanes * sizeof *acc);
    for (int i = 0; i < parts; i++) {
        int begin = part_begin(pixels, parts, i), end = part_begin(pixels, parts, i + 1);
        for (ptrdiff_t first = 0; first < g->k; first += WIDE_STEPS) {
            wide_steps wide = {buffer, first, pqc_least(g->k - first, WIDE_STEPS), end - begin};
            widen(g, pixel + begin, wide, buffer);
            widened_steps(g, wide, acc + begin * lanes);
        }
    }
}

#endif
