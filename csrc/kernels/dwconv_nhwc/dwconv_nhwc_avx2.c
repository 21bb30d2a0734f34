/* Depthwise u8 x s8 convolution, channels last, with AVX2.  Four rows of a column become two pairs of words per
 * channel, (0, 2) and (1, 3), which take two multiplications per output; the pairs of taps come out of dwords of four
 * bytes by shifts alone. */
#include "dwconv_nhwc.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

enum { SHARED_ROWS = 2, SHARED_KERNEL = 3 };

/* 8 channels: words of rows 0 and 2, and of rows 1 and 3. */
typedef struct {
    __m256i even, odd;
} column, taps;

typedef __m256i sums;

INLINE sums load_sums(const int32_t *from, const int v)
{
    (void)v;
    return load_words(from);
}

INLINE void store_sums(const sums *from, int32_t *acc, const int v)
{
    (void)v;
    store_words(acc, *from);
}

INLINE __m128i load8(const uint8_t *x)
{
    return _mm_loadl_epi64((const __m128i *)(const void *)x);
}

INLINE __m256i two_rows(__m128i low, __m128i high)
{
    return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(low, high));
}

INLINE column load_column(const uint8_t *x, ptrdiff_t row, ptrdiff_t n, const int v)
{
    column c;
    (void)v;
    c.even = n > 2 ? two_rows(load8(x), load8(x + 2 * row)) : _mm256_cvtepu8_epi32(load8(x));
    if (n > 3)
        c.odd = two_rows(load8(x + row), load8(x + 3 * row));
    else
        c.odd = n > 1 ? _mm256_cvtepu8_epi32(load8(x + row)) : _mm256_setzero_si256();
    return c;
}

INLINE taps load_taps(const int8_t *w, const int v)
{
    __m256i bytes = load_words(w);
    (void)v;
    return (taps){_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8)};
}

/* Taps one row further down: (0, w1) and (w0, w2). */
INLINE taps taps_below(const taps *w, const taps *before, const int v)
{
    (void)before; /* these kernels have one group */
    (void)v;
    return (taps){_mm256_slli_epi32(w->odd, 16), w->even};
}

INLINE void add_column(sums *to, const column *x, const taps *w, ptrdiff_t n, const int v)
{
    (void)v;
    *to = _mm256_add_epi32(*to, _mm256_madd_epi16(x->even, w->even));
    if (n > 1)
        *to = _mm256_add_epi32(*to, _mm256_madd_epi16(x->odd, w->odd));
}

#include "dwconv_nhwc_sums.h"

#include "dwconv_nhwc_rows.h"

AVX2 void pqc_dwconv_nhwc_avx2(const pqc_dwconv_nhwc_params *g, int32_t *acc)
{
    for (ptrdiff_t c = 0; c < g->channels && g->columns > 0; c += 8)
        sum_channels(g, c, results_at(g, acc + c), 1);
}

#endif
