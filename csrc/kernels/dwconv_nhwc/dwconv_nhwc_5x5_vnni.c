/* Depthwise u8 x s8 convolution of 5 x 5 taps, channels last, with AVX-512 VNNI. */
#include "dwconv_nhwc.h"

#if PQC_X86
#include "dwconv_nhwc_vnni.h"

typedef struct {
    int32_t *at;
    ptrdiff_t row, ld;
} results;

INLINE void store_sums(const sums *done, int32_t *at, ptrdiff_t apart)
{
    PQC_UNROLL(2)
    for (int i = 0; i < VECTORS; i++) {
        __m256i low = _mm512_castsi512_si256(done->v[i]);
        _mm256_storeu_si256((__m256i *)(void *)(at + 8 * i), low);
        __m256i high = _mm512_extracti64x4_epi64(done->v[i], 1);
        _mm256_storeu_si256((__m256i *)(void *)(at + apart + 8 * i), high);
    }
}

INLINE void store_outputs(const sums *first, const sums *second, results *to, const int ROWS)
{
    const ptrdiff_t apart = ROWS == 1 ? BLOCK : to->row;
    store_sums(first, to->at, apart);
    to->at += to->ld;
    if (second) {
        store_sums(second, to->at, apart);
        to->at += to->ld;
    }
}

#include "dwconv_nhwc_5x5_vnni.h"

INLINE void sum_all(const pqc_dwconv_nhwc_params *g, int32_t *acc, const int STRIDE)
{
    results to = {acc, g->columns * g->ld, g->ld};
    ptrdiff_t c = 0;
    for (; c + 2 * BLOCK <= g->channels; c += 2 * BLOCK, to.at += 2 * BLOCK)
        sum_5x5(g, c, to, STRIDE, 1);
    if (c < g->channels)
        sum_5x5(g, c, to, STRIDE, 2);
}

PQC_TARGET_VNNI void pqc_dwconv_nhwc_5x5_vnni(const pqc_dwconv_nhwc_params *g, int32_t *acc)
{
    if (pqc_dwconv_shares_columns(g, KERNEL, 1))
        sum_all(g, acc, 1);
    else
        sum_all(g, acc, 2);
}

#endif
