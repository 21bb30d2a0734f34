#include "igemm_u8s8_small_m_avx2.h"

#include <string.h>

#if PQC_X86
#define INLINE AVX2 PQC_INLINE

/* Activations are taken as x - 128, in sign and magnitude, and the sign is given to the weights: then vpmaddubsw, which
 * saturates at 2^15, gets at most 2 * 128 * 127.  So weights are used as bytes, just as they come from memory, and a
 * vector of 8 channels needs one sum. */
enum { STEPS = 256, MOST_AT_ONCE = 2, HALVES = 8 };

typedef struct {
    uint32_t magnitude[STEPS * MOST_AT_ONCE], value[STEPS * MOST_AT_ONCE]; /* steps x pixels */
} quads;

AVX2 static void fill(const pqc_gemm_s8_block *g, ptrdiff_t first, ptrdiff_t steps,
                      const int32_t *pixel, int pixels, quads *q)
{
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    uint32_t *to = q->value;
    for (ptrdiff_t j = first; j < first + steps; j++)
        for (int p = 0; p < pixels; p++)
            memcpy(to++, g->x + pixel[p] + g->offset[j], 4);
    for (ptrdiff_t i = 0; i < steps * pixels; i += 8) { /* what is past the end is not used */
        __m256i *value = (__m256i *)(void *)(q->value + i);
        __m256i x = _mm256_xor_si256(_mm256_loadu_si256(value), flip);
        _mm256_storeu_si256(value, x);
        _mm256_storeu_si256((__m256i *)(void *)(q->magnitude + i), _mm256_abs_epi8(x));
    }
}

/* Where vectors of 8 channels have their weights: the second 32 bytes after the first, the third `apart` after it. */
typedef struct {
    const int8_t *w;
    ptrdiff_t step, apart;
} weights;

/* Adds to H vectors of 8 channels for P pixels; P and H are constants where this is inlined. */
INLINE void tile(const quads *q, weights from, ptrdiff_t steps, const int P, const int H,
                 int32_t *acc, ptrdiff_t lanes)
{
    enum { AHEAD = 8 };
    const __m256i ones = _mm256_set1_epi16(1);
    const uint32_t *magnitude = q->magnitude, *value = q->value;
    __m256i sums[HALVES];
    PQC_UNROLL(8)
    for (int i = 0; i < P * H; i++)
        sums[i] =
            _mm256_loadu_si256((const __m256i *)(const void *)(acc + i / H * lanes + i % H * 8));
    for (; steps > 0; steps--, from.w += from.step, magnitude += P, value += P) {
        PQC_UNROLL(4)
        for (int line = 0; line < H; line += 2)
            _mm_prefetch((const char *)(from.w + AHEAD * from.step + line / 2 * from.apart),
                         _MM_HINT_T0);
        PQC_UNROLL(2)
        for (int p = 0; p < P; p++) {
            __m256i m = _mm256_set1_epi32((int)magnitude[p]), v = _mm256_set1_epi32((int)value[p]);
            PQC_UNROLL(8)
            for (int h = 0; h < H; h++) {
                const int8_t *at = from.w + h / 2 * from.apart + h % 2 * 32;
                __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)at);
                __m256i pairs = _mm256_maddubs_epi16(m, _mm256_sign_epi8(w, v));
                __m256i *sum = &sums[p * H + h];
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    PQC_UNROLL(8)
    for (int i = 0; i < P * H; i++)
        _mm256_storeu_si256((__m256i *)(void *)(acc + i / H * lanes + i % H * 8), sums[i]);
}

/* One or two pixels in all channels, as many of them at a time as there are registers for. */
AVX2 static void all_channels(const pqc_gemm_s8_block *g, const quads *q, ptrdiff_t first,
                              ptrdiff_t steps, int pixels, int32_t *acc)
{
    ptrdiff_t lanes = PQC_LANES * g->vectors;
    weights from = {g->w + first * g->step, g->step, g->apart};
    int halves = 2 * g->vectors, h = 0;
    if (pixels == 1 && halves == 8) {
        tile(q, from, steps, 1, 8, acc, lanes);
        return;
    }
    for (; h + 4 <= halves; h += 4, from.w += 2 * from.apart)
        if (pixels == 1)
            tile(q, from, steps, 1, 4, acc + 8 * h, lanes);
        else
            tile(q, from, steps, 2, 4, acc + 8 * h, lanes);
    if (h < halves && pixels == 1)
        tile(q, from, steps, 1, 2, acc + 8 * h, lanes);
    else if (h < halves)
        tile(q, from, steps, 2, 2, acc + 8 * h, lanes);
}

AVX2 void pqc_gemm_few_pixels_avx2(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                                   int32_t *acc)
{
    quads q;
    ptrdiff_t lanes = PQC_LANES * g->vectors;
    for (int p = 0; p < pixels; p++)
        for (ptrdiff_t c = 0; c < lanes; c++)
            acc[p * lanes + c] = g->start[c] + g->sum[c];
    for (ptrdiff_t first = 0; first < g->k; first += STEPS)
        for (int p = 0; p < pixels; p += MOST_AT_ONCE) {
            ptrdiff_t steps = pqc_least(g->k - first, STEPS);
            int count = pixels - p < MOST_AT_ONCE ? 1 : MOST_AT_ONCE;
            fill(g, first, steps, pixel + p, count, &q);
            all_channels(g, &q, first, steps, count, acc + p * lanes);
        }
}

#endif
