/* Four rows of a column are interleaved into dwords, four taps of a channel each, which one vpdpbusd multiplies for an output.
 * For 64 sums of 3 x 3 that is 12 products and half of 4 permutations and 8 unpacks: 9 cycles of the two ports that have both. */
#include "dwconv_nhwc.h"

#if PQC_X86
#include "avx512.h"

#define INLINE PQC_TARGET_VNNI PQC_INLINE

enum { SHARED_ROWS = 2 };

/* Up to 64 channels, 16 in each. */
typedef struct {
    __m512i v[4];
} sums, column, taps;

INLINE sums load_sums(const void *from, const int v)
{
    sums loaded = {{_mm512_loadu_si512(from)}};
    PQC_UNROLL(3)
    for (int i = 1; i < v; i++)
        loaded.v[i] = _mm512_loadu_si512((const char *)from + 64 * i);
    return loaded;
}

INLINE void store_sums(const sums *from, int32_t *acc, const int v)
{
    PQC_UNROLL(4)
    for (int i = 0; i < v; i++)
        _mm512_storeu_si512(acc + 16 * i, from->v[i]);
}

INLINE taps load_taps(const int8_t *w, const int v)
{
    return load_sums(w, v);
}

INLINE taps taps_below(const taps *w, const int v)
{
    taps shifted = {{_mm512_slli_epi32(w->v[0], 8)}};
    PQC_UNROLL(3)
    for (int i = 1; i < v; i++)
        shifted.v[i] = _mm512_slli_epi32(w->v[i], 8);
    return shifted;
}

INLINE __m512i load_channels(const uint8_t *x, const int v)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i loaded;
    if (v == 4)
        loaded = _mm512_loadu_si512(x);
    else if (v == 2)
        loaded = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)x));
    else
        loaded = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)x));
    return _mm512_permutexvar_epi32(order, loaded); /* so that unpacking leaves channels in order */
}

/* Rows from n on are the first again. */
INLINE column load_column(const uint8_t *x, ptrdiff_t row, ptrdiff_t n, const int v)
{
    __m512i r0 = load_channels(x, v), r1 = n > 1 ? load_channels(x + row, v) : r0;
    __m512i r2 = n > 2 ? load_channels(x + 2 * row, v) : r0;
    __m512i r3 = n > 3 ? load_channels(x + 3 * row, v) : r0;
    __m512i low = _mm512_unpacklo_epi8(r0, r1), next = _mm512_unpacklo_epi8(r2, r3);
    column c = {{_mm512_unpacklo_epi16(low, next)}};
    if (v >= 2)
        c.v[1] = _mm512_unpackhi_epi16(low, next);
    if (v == 4) {
        low = _mm512_unpackhi_epi8(r0, r1);
        next = _mm512_unpackhi_epi8(r2, r3);
        c.v[2] = _mm512_unpacklo_epi16(low, next);
        c.v[3] = _mm512_unpackhi_epi16(low, next);
    }
    return c;
}

INLINE void add_column(sums *to, const column *x, const taps *w, ptrdiff_t n, const int v)
{
    (void)n;
    PQC_UNROLL(4)
    for (int i = 0; i < v; i++)
        to->v[i] = _mm512_dpbusd_epi32(to->v[i], x->v[i], w->v[i]);
}

#include "dwconv_nhwc_rows.h"

/* The most vectors whose open outputs and columns stay in registers; with more a sum takes twice as long. */
static int most_vectors(const pqc_dwconv_nhwc_params *g)
{
    if (pqc_dwconv_shares_columns(g, 3, 1))
        return 2;
    return pqc_dwconv_shares_columns(g, 5, 1) ? 1 : g->kw < 5 ? 4 : 2;
}

PQC_TARGET_VNNI void pqc_dwconv_nhwc_vnni(const pqc_dwconv_nhwc_params *g, int32_t *acc)
{
    ptrdiff_t c = 0;
    int most = most_vectors(g);
    if (g->columns == 0)
        return;
    for (; c + 64 <= g->channels && most == 4; c += 64)
        sum_channels(g, c, acc + c, 4);
    for (; c + 32 <= g->channels && most >= 2; c += 32)
        sum_channels(g, c, acc + c, 2);
    for (; c < g->channels; c += 16)
        sum_channels(g, c, acc + c, 1);
}

#endif
