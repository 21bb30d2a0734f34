#include "gemm_s8.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 static inline __attribute__((always_inline))

/* Bytes are widened to 16 bits, multiplied and added in pairs (vpmaddwd): exact, where vpmaddubsw would saturate.
 * Activations are widened once for all channels of the block, into a buffer that stays in the first cache; weights in the
 * loop.  A tile is P pixels by 8 channels: 8 sums of 4 channels with two partial sums each, 2 weights, 1 activation. */
enum { MOST_PIXELS = 4, STEPS = 256 };

typedef struct {
    const int16_t *x; /* steps x pixels x 4 */
    const int8_t *w;
    ptrdiff_t steps, w_step, lanes;
} strip;

INLINE __m256i weights_of(const int8_t *w)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)w));
}

INLINE __m256i quad_of(const int16_t *x)
{
    int64_t quad;
    __builtin_memcpy(&quad, x, 8);
    return _mm256_set1_epi64x(quad);
}

/* The partial sums of channels 0 to 3 and 4 to 7, added. */
INLINE __m256i joined(__m256i low, __m256i high)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
}

/* Adds to 8 channels of P pixels; P is a constant where this is inlined. */
INLINE void tile(strip s, const int P, int32_t *acc)
{
    __m256i low[MOST_PIXELS], high[MOST_PIXELS];
    PQC_UNROLL(4)
    for (int p = 0; p < P; p++)
        low[p] = high[p] = _mm256_setzero_si256();
    for (const int16_t *end = s.x + 4 * P * s.steps; s.x < end; s.x += 4 * P, s.w += s.w_step) {
        __m256i w0 = weights_of(s.w), w1 = weights_of(s.w + 16);
        PQC_UNROLL(4)
        for (int p = 0; p < P; p++) {
            __m256i quad = quad_of(s.x + 4 * p);
            low[p] = _mm256_add_epi32(low[p], _mm256_madd_epi16(quad, w0));
            high[p] = _mm256_add_epi32(high[p], _mm256_madd_epi16(quad, w1));
            __asm__("" : "+x"(low[p]), "+x"(high[p])); /* else GCC gives a sum two registers */
        }
    }
    PQC_UNROLL(4)
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
    default:
        tile(s, 4, acc);
        break;
    }
}

AVX2 static void widen(const pqc_gemm_s8_block *g, ptrdiff_t first, ptrdiff_t steps,
                       const int32_t *pixel, int pixels, int16_t *wide)
{
    for (ptrdiff_t j = first; j < first + steps; j++)
        for (int p = 0; p < pixels; p++, wide += 4) {
            int32_t quad;
            __builtin_memcpy(&quad, g->x + pixel[p] + g->offset[j], 4);
            _mm_storel_epi64((__m128i *)(void *)wide, _mm_cvtepu8_epi16(_mm_cvtsi32_si128(quad)));
        }
}

AVX2 static void few_pixels(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                            int32_t *acc)
{
    int16_t wide[STEPS * MOST_PIXELS * 4];
    strip s = {.x = wide, .w_step = 64 * g->vectors, .lanes = PQC_LANES * g->vectors};
    for (int p = 0; p < pixels; p++)
        __builtin_memcpy(acc + p * s.lanes, g->start, (size_t)s.lanes * sizeof *acc);
    for (ptrdiff_t first = 0; first < g->k; first += STEPS) {
        s.steps = g->k - first < STEPS ? g->k - first : STEPS;
        widen(g, first, s.steps, pixel, pixels, wide);
        for (int half = 0; half < 2 * g->vectors; half++) {
            s.w = g->w + first * s.w_step + 32 * half;
            any_tile(s, pixels, acc + 8 * half);
        }
    }
}

AVX2 void pqc_gemm_s8_avx2(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                           int32_t *acc)
{
    for (int p = 0; p < pixels; p += MOST_PIXELS) {
        int left = pixels - p;
        few_pixels(g, pixel + p, left < MOST_PIXELS ? left : MOST_PIXELS,
                   acc + p * PQC_LANES * g->vectors);
    }
}

#endif
