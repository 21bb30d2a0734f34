/* Depthwise u8 x s8 convolution, channels last, with AVX-512 VNNI.  Four rows of a column are interleaved into
 * dwords, four taps of a channel each, which one vpdpbusd multiplies for an output.  64 sums of 3 x 3 take 12
 * products, plus half of 4 permutations and 8 unpacks: 9 cycles on the two ports that run both. */
#include "dwconv_nhwc.h"

#if PQC_X86
#include "dwconv_nhwc_vnni.h"

INLINE sums load_sums(const int32_t *from, const int v)
{
    return load_vectors(from, v);
}

INLINE void store_sums(const sums *from, int32_t *acc, const int v)
{
    PQC_UNROLL(4)
    for (int i = 0; i < v; i++)
        _mm512_storeu_si512(acc + 16 * i, from->v[i]);
}

INLINE taps load_taps(const int8_t *w, const int v)
{
    return load_vectors(w, v);
}

/* Rows from n on repeat the first one; of two rows both are repeated, so that they are unpacked once. */
INLINE column load_column(const uint8_t *x, ptrdiff_t row, ptrdiff_t n, const int v)
{
    if (n == 1)
        return widen(x, v);
    __m512i r0 = load_channels(x, v), r1 = n > 1 ? load_channels(x + row, v) : r0;
    __m512i r2 = n > 2 ? load_channels(x + 2 * row, v) : r0;
    __m512i r3 = n > 3 ? load_channels(x + 3 * row, v) : n == 2 ? r1 : r0;
    return interleave(r0, r1, r2, r3, v);
}

#include "dwconv_nhwc_sums.h"

#include "dwconv_nhwc_rows.h"

/* The most vectors whose open outputs and columns stay in registers; with more, a sum takes twice as long. */
static int most_vectors(const pqc_dwconv_nhwc_params *g)
{
    return pqc_dwconv_shares_columns(g, 3, 1) || g->kw >= 5 ? 2 : 4;
}

PQC_TARGET_VNNI void pqc_dwconv_nhwc_vnni(const pqc_dwconv_nhwc_params *g, int32_t *acc)
{
    ptrdiff_t c = 0;
    int most = most_vectors(g);
    if (g->columns == 0)
        return;
    if (pqc_dwconv_shares_columns(g, 5, 1) || pqc_dwconv_shares_columns(g, 5, 2)) {
        pqc_dwconv_nhwc_5x5_vnni(g, acc);
        return;
    }
    for (; c + 64 <= g->channels && most == 4; c += 64)
        sum_channels(g, c, results_at(g, acc + c), 4);
    for (; c + 32 <= g->channels && most >= 2; c += 32)
        sum_channels(g, c, results_at(g, acc + c), 2);
    for (; c < g->channels; c += 16)
        sum_channels(g, c, results_at(g, acc + c), 1);
}

#endif
