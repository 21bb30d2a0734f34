/* Indirect GEMM of u8 x s8 for one or a few pixels, to int32 sums, with AVX2; see igemm_u8s8_small_m_avx2.h. */
#include "igemm_u8s8_small_m_avx2.h"

#include <string.h>

#if PQC_X86
#define INLINE AVX2 PQC_INLINE

/* Activations are taken as x - 128, split into sign and magnitude, and the sign is applied to the weights:
 * vpmaddubsw, which saturates at 2^15, then gets at most 2 * 128 * 127.  So weights are used as bytes, straight from
 * memory, and a vector of 8 channels needs only one sum. */
enum { KR_GROUPS = 256, MAX_AT_ONCE = 2, HALVES = 8 };

typedef struct {
    uint32_t magnitude[KR_GROUPS * MAX_AT_ONCE],
        value[KR_GROUPS * MAX_AT_ONCE]; /* kr groups x pixels */
} c4;

AVX2 static void fill(const pqc_igemm_params *g, ptrdiff_t first, ptrdiff_t kr_groups,
                      const int32_t *pixel, int pixels, c4 *q)
{
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    uint32_t *to = q->value;
    for (ptrdiff_t j = first; j < first + kr_groups; j++)
        for (int p = 0; p < pixels; p++)
            memcpy(to++, g->x + pixel[p] + g->offset[j], 4);
    for (ptrdiff_t i = 0; i < kr_groups * pixels; i += 8) { /* what lies past the end is ignored */
        __m256i *value = (__m256i *)(void *)(q->value + i);
        __m256i x = _mm256_xor_si256(_mm256_loadu_si256(value), flip);
        _mm256_storeu_si256(value, x);
        _mm256_storeu_si256((__m256i *)(void *)(q->magnitude + i), _mm256_abs_epi8(x));
    }
}

/* Where vectors of 8 channels have their weights: the second 32 bytes after the first, the third panel_stride bytes
 * after it. */
typedef struct {
    const int8_t *w;
    ptrdiff_t k_stride, panel_stride;
} weights;

/* Adds to H vectors of 8 channels for P pixels; P and H are constants after inlining. */
INLINE void tile(const c4 *q, weights from, ptrdiff_t kr_groups, const int P, const int H,
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
    for (; kr_groups > 0; kr_groups--, from.w += from.k_stride, magnitude += P, value += P) {
        PQC_UNROLL(4)
        for (int line = 0; line < H; line += 2)
            _mm_prefetch(
                (const char *)(from.w + AHEAD * from.k_stride + line / 2 * from.panel_stride),
                _MM_HINT_T0);
        PQC_UNROLL(2)
        for (int p = 0; p < P; p++) {
            __m256i m = _mm256_set1_epi32((int)magnitude[p]), v = _mm256_set1_epi32((int)value[p]);
            PQC_UNROLL(8)
            for (int h = 0; h < H; h++) {
                const int8_t *at = from.w + h / 2 * from.panel_stride + h % 2 * 32;
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

/* One or two pixels by all channels, as many channels at a time as registers allow. */
AVX2 static void all_channels(const pqc_igemm_params *g, const c4 *q, ptrdiff_t first,
                              ptrdiff_t kr_groups, int pixels, int32_t *acc)
{
    ptrdiff_t lanes = PQC_LANES * g->vectors;
    weights from = {g->w + first * g->k_stride, g->k_stride, g->panel_stride};
    int halves = 2 * g->vectors, h = 0;
    if (pixels == 1 && halves == 8) {
        tile(q, from, kr_groups, 1, 8, acc, lanes);
        return;
    }
    for (; h + 4 <= halves; h += 4, from.w += 2 * from.panel_stride)
        if (pixels == 1)
            tile(q, from, kr_groups, 1, 4, acc + 8 * h, lanes);
        else
            tile(q, from, kr_groups, 2, 4, acc + 8 * h, lanes);
    if (h < halves && pixels == 1)
        tile(q, from, kr_groups, 1, 2, acc + 8 * h, lanes);
    else if (h < halves)
        tile(q, from, kr_groups, 2, 2, acc + 8 * h, lanes);
}

AVX2 void pqc_igemm_u8s8_small_m_avx2(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                                      int32_t *acc)
{
    c4 q;
    ptrdiff_t lanes = PQC_LANES * g->vectors;
    for (int p = 0; p < pixels; p++)
        for (ptrdiff_t c = 0; c < lanes; c++)
            acc[p * lanes + c] = g->compensation[c] + g->weight_sums[c];
    for (ptrdiff_t first = 0; first < g->k; first += KR_GROUPS)
        for (int p = 0; p < pixels; p += MAX_AT_ONCE) {
            ptrdiff_t kr_groups = pqc_min(g->k - first, KR_GROUPS);
            int count = pixels - p < MAX_AT_ONCE ? 1 : MAX_AT_ONCE;
            fill(g, first, kr_groups, pixel + p, count, &q);
            all_channels(g, &q, first, kr_groups, count, acc + p * lanes);
        }
}

#endif
