/* Products of Winograd's F(4 x 4, 3 x 3), channels last, with 256-bit vectors; see winograd_nhwc.h.  Who includes it has
 * defined BODY, a target, INLINE, and add_products, which adds products of 16-bit pairs to sums. */
#ifndef PQC_WINOGRAD_NHWC_AVX2_H
#define PQC_WINOGRAD_NHWC_AVX2_H

typedef __m256i vector;

#define OP(name) _mm256_##name
#define VECTOR_AT(from) load_words(from)
#define STORE_VECTOR(to, v) store_words(to, v)
#define BYTES_AT(x) _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(x)))

#include "avx2.h"
#include "winograd_nhwc_transforms.h"

/* A block is up to 6 tiles by 16 channels: 12 sums, 2 weights, 1 input in 16 registers. */
enum { MOST_TILES = 6 };

/* Tiles of one position, k words apart; its weights, and numbers of products, `step` words and `width` numbers apart. */
typedef struct {
    const int16_t *v, *u;
    ptrdiff_t k, pairs, step, width;
} block_operands;

/* P is a constant after inlining. */
INLINE void block(const block_operands *o, const int P, int32_t *m)
{
    vector low[MOST_TILES], high[MOST_TILES];
    ptrdiff_t k = o->k, step = o->step;
    const int16_t *v = o->v, *u = o->u;
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++)
        low[p] = high[p] = _mm256_setzero_si256();
    for (const int16_t *end = v + 2 * o->pairs; v < end; v += 2, u += step) {
        vector w0 = VECTOR_AT(u), w1 = VECTOR_AT(u + WORDS);
        PQC_UNROLL(6)
        for (int p = 0; p < P; p++) {
            vector x = pair_at(v + p * k);
            low[p] = add_products(low[p], x, w0);
            high[p] = add_products(high[p], x, w1);
            PQC_KEEP_IN_REGISTERS(low[p], high[p]); /* or GCC uses two registers per sum */
        }
    }
    PQC_UNROLL(6)
    for (int p = 0; p < P; p++) {
        STORE_VECTOR(m + p * o->width, low[p]);
        STORE_VECTOR(m + p * o->width + LANES, high[p]);
    }
}

typedef void block_fn(const block_operands *o, int32_t *m);

#define BLOCK(P)                                                                                   \
    BODY static void block_##P(const block_operands *o, int32_t *m)                                \
    {                                                                                              \
        block(o, P, m);                                                                            \
    }

#define SIX_BLOCKS BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6)

SIX_BLOCKS

static block_fn *const blocks[MOST_TILES] = {block_1, block_2, block_3, block_4, block_5, block_6};

BODY static void products(const pqc_winograd_nhwc_operands *o, ptrdiff_t tiles, int32_t *m)
{
    ptrdiff_t parts = pqc_div_round_up(tiles, MOST_TILES), width = o->vectors * PQC_LANES;
    block_operands s = {.k = o->k, .pairs = o->pairs, .step = 2 * width, .width = width};
    for (int p = 0; p < PQC_WINOGRAD_POSITIONS; p++)
        for (ptrdiff_t channel = 0; channel < width; channel += PQC_LANES)
            for (ptrdiff_t i = 0; i < parts; i++) {
                ptrdiff_t from = pqc_part_begin(tiles, parts, i);
                ptrdiff_t now = pqc_part_begin(tiles, parts, i + 1) - from;
                s.v = o->v + p * o->v_position + from * o->k;
                s.u = o->u + (p * o->pairs * width + channel) * 2;
                blocks[now - 1](&s, m + p * o->m_position + from * width + channel);
            }
}

#endif
