/* Products of Winograd-transformed int16 operands, summed in int32, with AVX2; see winograd.h. */
#include "winograd_avx2.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

/* Multiplied and added in pairs (vpmaddwd).  A block is up to 6 tiles by 16 channels: 12 sums, 2 weights, 1 input. */
enum { MAX_TILES = 6, STEP = 4 * PQC_WINOGRAD_CHANNELS };

typedef struct {
    const int16_t *v, *u;
    ptrdiff_t v_step, c4_blocks; /* words of v between c4 blocks */
} block_operands;

/* P tiles, a constant after inlining.  Adds to m if `more`. */
INLINE void block(block_operands s, const int P, bool more, int32_t *m)
{
    __m256i low[MAX_TILES], high[MAX_TILES];
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        low[p] = more ? load_words(m + 16 * p) : _mm256_setzero_si256();
        high[p] = more ? load_words(m + 16 * p + 8) : _mm256_setzero_si256();
    }
    for (ptrdiff_t left = s.c4_blocks; left > 0; left--, s.v += s.v_step, s.u += STEP) {
        PQC_UNROLL(2)
        for (int pair = 0; pair < 2; pair++) {
            __m256i w0 = load_words(s.u + 32 * pair), w1 = load_words(s.u + 32 * pair + 16);
            PQC_UNROLL(6)
            for (int p = 0; p < P; p++) {
                __m256i x = pair_at(s.v + 4 * p + 2 * pair);
                __m256i x0 = _mm256_madd_epi16(x, w0), x1 = _mm256_madd_epi16(x, w1);
                PQC_KEEP_IN_REGISTERS(x0,
                                      x1); /* two products, then two sums: 3 % faster on Zen 3 */
                low[p] = _mm256_add_epi32(low[p], x0);
                high[p] = _mm256_add_epi32(high[p], x1);
                PQC_KEEP_IN_REGISTERS(low[p], high[p]); /* or GCC uses two registers per sum */
            }
        }
    }
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        store_words(m + 16 * p, low[p]);
        store_words(m + 16 * p + 8, high[p]);
    }
}

AVX2 static void any_block(block_operands s, ptrdiff_t tiles, bool more, int32_t *m)
{
    switch (tiles) {
    case 1:
        block(s, 1, more, m);
        break;
    case 2:
        block(s, 2, more, m);
        break;
    case 3:
        block(s, 3, more, m);
        break;
    case 4:
        block(s, 4, more, m);
        break;
    case 5:
        block(s, 5, more, m);
        break;
    default:
        block(s, 6, more, m);
        break;
    }
}

/* Any number of tiles, in blocks of nearly equal size. */
INLINE void all_tiles(block_operands s, ptrdiff_t tiles, bool more, int32_t *m)
{
    for (ptrdiff_t blocks = (tiles + MAX_TILES - 1) / MAX_TILES; blocks > 0; blocks--) {
        ptrdiff_t now = (tiles + blocks - 1) / blocks;
        any_block(s, now, more, m);
        s.v += 4 * now;
        m += now * PQC_WINOGRAD_CHANNELS;
        tiles -= now;
    }
}

AVX2 static void products(const pqc_winograd_operands *o, ptrdiff_t c4_blocks, ptrdiff_t tiles,
                          bool more, int32_t *m)
{
    for (int p = 0; p < o->positions; p++) {
        block_operands s = {o->v + p * o->v_blocks * o->v_stride * 4,
                            o->u + p * pqc_winograd_weights(c4_blocks), o->v_stride * 4, c4_blocks};
        all_tiles(s, tiles, more, m + p * o->m_stride * PQC_WINOGRAD_CHANNELS);
    }
}

const pqc_winograd pqc_winograd_avx2[PQC_WINOGRAD_SIDES] = {
    {2, pqc_winograd2_inputs_avx2, pqc_winograd2_weights_avx2, products, pqc_winograd2_sums_avx2},
    {4, pqc_winograd4_inputs_avx2, pqc_winograd4_weights_avx2, products, pqc_winograd4_sums_avx2},
};

#endif
