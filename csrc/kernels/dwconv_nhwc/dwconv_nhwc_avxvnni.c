/* Depthwise u8 x s8 convolution, channels last, with AVX-VNNI: as dwconv_nhwc_vnni.c, 8 channels at a time. */
#include "dwconv_nhwc.h"

#if PQC_X86
#include "avx2.h"

#define INLINE PQC_TARGET_AVXVNNI PQC_INLINE

enum { SHARED_ROWS = 2, SHARED_KERNEL = 3 };

typedef __m256i sums;
typedef __m256i column;
typedef __m256i taps;

INLINE sums load_sums(const int32_t *from, const int v)
{
    (void)v;
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

INLINE void store_sums(const sums *from, int32_t *acc, const int v)
{
    (void)v;
    _mm256_storeu_si256((__m256i *)(void *)acc, *from);
}

INLINE __m128i load8(const uint8_t *x)
{
    return _mm_loadl_epi64((const __m128i *)(const void *)x);
}

/* Rows from n on repeat the first one. */
INLINE column load_column(const uint8_t *x, ptrdiff_t row, ptrdiff_t n, const int v)
{
    __m128i r0 = load8(x), r1 = n > 1 ? load8(x + row) : r0;
    __m128i r2 = n > 2 ? load8(x + 2 * row) : r0, r3 = n > 3 ? load8(x + 3 * row) : r0;
    __m128i low = _mm_unpacklo_epi8(r0, r1), high = _mm_unpacklo_epi8(r2, r3);
    (void)v;
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi16(low, high)),
                                   _mm_unpackhi_epi16(low, high), 1);
}

INLINE taps load_taps(const int8_t *w, const int v)
{
    (void)v;
    return _mm256_loadu_si256((const __m256i *)(const void *)w);
}

INLINE taps taps_below(const taps *w, const taps *before, const int v)
{
    (void)before; /* these kernels have one group */
    (void)v;
    return _mm256_slli_epi32(*w, 8);
}

INLINE void add_column(sums *to, const column *x, const taps *w, ptrdiff_t n, const int v)
{
    (void)n;
    (void)v;
    *to = _mm256_dpbusd_avx_epi32(*to, *x, *w);
}

#include "dwconv_nhwc_sums.h"

#include "dwconv_nhwc_rows.h"

PQC_TARGET_AVXVNNI void pqc_dwconv_nhwc_avxvnni(const pqc_dwconv_nhwc_params *g, int32_t *acc)
{
    for (ptrdiff_t c = 0; c < g->channels && g->columns > 0; c += 8)
        sum_channels(g, c, results_at(g, acc + c), 1);
}

#endif
