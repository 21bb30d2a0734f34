/* Products of Winograd's F(4 x 4, 3 x 3), channels last, with 512-bit vectors; see winograd_nhwc.h.  Who includes it has
 * defined BODY, a target, INLINE, and add_products, which adds products of 16-bit pairs to sums. */
#ifndef PQC_WINOGRAD_NHWC_AVX512_H
#define PQC_WINOGRAD_NHWC_AVX512_H

#include <string.h>

typedef __m512i vector;

#define OP(name) _mm512_##name
#define VECTOR_AT(from) _mm512_loadu_si512(from)
#define STORE_VECTOR(to, v) _mm512_storeu_si512(to, v)
#define BYTES_AT(x) _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(x)))

#include "winograd_nhwc_transforms.h"

INLINE __m512i broadcast_pair(const int16_t *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return _mm512_set1_epi32(pair);
}

/* What bodies read: tiles of one position, k words apart, and its weights.  For each pair of channels `lines` cache
 * lines of the next position's weights, from `ahead` on, are prefetched. */
typedef struct {
    const int16_t *v, *u, *ahead;
    ptrdiff_t k, pairs, lines;
} block_operands;

/* Products of P tiles by V vectors in one position; P and V are constants after inlining. */
INLINE void block(const block_operands *o, const int P, const int V, int32_t *m)
{
    __m512i sums[24];
    ptrdiff_t k = o->k, lines = o->lines * WORDS;
    const int16_t *v = o->v, *u = o->u, *ahead = o->ahead;
    PQC_UNROLL(24)
    for (int i = 0; i < P * V; i++)
        sums[i] = _mm512_setzero_si512();
    for (const int16_t *end = v + 2 * o->pairs; v < end; v += 2, u += WORDS * V) {
        __m512i weights[4];
        for (const int16_t *to = ahead + lines; ahead < to; ahead += WORDS)
            _mm_prefetch((const char *)ahead, _MM_HINT_T0);
        PQC_UNROLL(4)
        for (int i = 0; i < V; i++) {
            weights[i] = _mm512_loadu_si512(u + WORDS * i);
            PQC_KEEP_IN_REGISTER(weights[i]); /* GCC would load it for each tile */
        }
        PQC_UNROLL(12)
        for (int p = 0; p < P; p++) {
            __m512i x = broadcast_pair(v + p * k);
            PQC_UNROLL(4)
            for (int i = 0; i < V; i++)
                sums[p * V + i] = add_products(sums[p * V + i], x, weights[i]);
        }
    }
    PQC_UNROLL(24)
    for (int i = 0; i < P * V; i++)
        _mm512_storeu_si512(m + LANES * i, sums[i]);
}

typedef void block_fn(const block_operands *o, int32_t *m);

#define BLOCK(P, V)                                                                                \
    BODY static void block_##P##x##V(const block_operands *o, int32_t *m)                          \
    {                                                                                              \
        block(o, P, V, m);                                                                         \
    }

#define FIVE_BLOCKS(V) BLOCK(1, V) BLOCK(2, V) BLOCK(3, V) BLOCK(4, V) BLOCK(5, V)
#define SIX_BLOCKS(V) FIVE_BLOCKS(V) BLOCK(6, V)
#define EIGHT_BLOCKS(V) SIX_BLOCKS(V) BLOCK(7, V) BLOCK(8, V)

EIGHT_BLOCKS(1)
EIGHT_BLOCKS(2)
EIGHT_BLOCKS(3)
SIX_BLOCKS(4)

enum { MOST_TILES = 8 };

/* By vectors - 1 and tiles - 1: at most 24 sums, 4 weights and one input in 32 registers. */
static block_fn *const blocks[4][MOST_TILES] = {
    {block_1x1, block_2x1, block_3x1, block_4x1, block_5x1, block_6x1, block_7x1, block_8x1},
    {block_1x2, block_2x2, block_3x2, block_4x2, block_5x2, block_6x2, block_7x2, block_8x2},
    {block_1x3, block_2x3, block_3x3, block_4x3, block_5x3, block_6x3, block_7x3, block_8x3},
    {block_1x4, block_2x4, block_3x4, block_4x4, block_5x4, block_6x4}};

BODY static void products(const pqc_winograd_nhwc_operands *o, ptrdiff_t tiles, int32_t *m)
{
    ptrdiff_t most = o->vectors == 4 ? 6 : MOST_TILES, parts = pqc_div_round_up(tiles, most);
    ptrdiff_t position = o->pairs * o->vectors * WORDS;
    block_fn *const *body = blocks[o->vectors - 1];
    block_operands s = {.u = o->u, .k = o->k, .pairs = o->pairs};
    s.lines = pqc_div_round_up(o->vectors, parts);
    for (int p = 0; p < PQC_WINOGRAD_POSITIONS; p++, s.u += position) {
        s.ahead = s.u + position;
        for (ptrdiff_t i = 0; i < parts; i++, s.ahead += s.lines * o->pairs * WORDS) {
            ptrdiff_t from = pqc_part_begin(tiles, parts, i);
            ptrdiff_t now = pqc_part_begin(tiles, parts, i + 1) - from;
            s.v = o->v + p * o->v_position + from * o->k;
            body[now - 1](&s, m + p * o->m_position + from * o->vectors * LANES);
        }
    }
}

#endif
