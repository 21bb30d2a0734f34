/* u8 x s8 products in 16 x 16 tiles, to int32 sums, with AMX; see amx_gemm.h. */
#include "amx_gemm.h"

#if PQC_AMX_COMPILES
#include "amx_gemm_rows_avx512.h"
#include "amx_gemm_avx512.h"

#include <string.h>

#define AMX PQC_TARGET_AMX
#define INLINE AMX PQC_INLINE

/* The eight tile registers: 0 to 3 are sums; two are operands of 16 kr groups, two are operands of the shorter last K
 * tile.  Macros, because GCC pastes them into the registers' names. */
#define A_TILE 4
#define B_TILE 5
#define A_REST 6
#define B_REST 7
#define REGISTERS 8

/* The tile configuration, as LDTILECFG reads it. */
typedef struct {
    uint8_t palette, first_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

AMX static void begin(ptrdiff_t k, int a_rows)
{
    int rest = k % PQC_AMX_SIDE > 0 ? (int)(k % PQC_AMX_SIDE) : PQC_AMX_SIDE;
    tile_shapes s = {.palette = 1};
    for (int i = 0; i < REGISTERS; i++) {
        s.row_bytes[i] = 64;
        s.rows[i] = (uint8_t)a_rows;
    }
    s.rows[B_TILE] = PQC_AMX_SIDE;
    s.rows[B_REST] = (uint8_t)rest;
    s.row_bytes[A_REST] = (uint16_t)(4 * rest);
    PQC_WRITTEN_WHOLE(&s); /* GCC's intrinsic says that it reads 8 bytes */
    _tile_loadconfig(&s);
}

AMX static void end(void)
{
    _tile_release();
}

/* The first tiles of an operand: up to two of A and four of B, `tile_stride` bytes apart; rows of a tile are `row`
 * bytes apart. */
typedef struct {
    const uint8_t *tile;
    ptrdiff_t tile_stride, row;
} operand;

/* Adds 16 kr groups, or those of the last K tile.  With 2 x 2 tiles those of B, which may cross cache lines, are
 * loaded once. */
#define GROUP(multiply, L, R)                                                                      \
    do {                                                                                           \
        _tile_loadd(R, b.tile, b.row);                                                             \
        _tile_loadd(L, a.tile, a.row);                                                             \
        multiply(0, L, R);                                                                         \
        if (a_tiles == 2) {                                                                        \
            _tile_loadd(L, a.tile + a.tile_stride, a.row);                                         \
            multiply(2, L, R);                                                                     \
        }                                                                                          \
        if (b_tiles >= 2) {                                                                        \
            _tile_loadd(R, b.tile + b.tile_stride, b.row);                                         \
            if (a_tiles == 2) {                                                                    \
                multiply(3, L, R);                                                                 \
                _tile_loadd(L, a.tile, a.row);                                                     \
            }                                                                                      \
            multiply(1, L, R);                                                                     \
        }                                                                                          \
        if (b_tiles >= 3) {                                                                        \
            _tile_loadd(R, b.tile + 2 * b.tile_stride, b.row);                                     \
            multiply(2, L, R);                                                                     \
        }                                                                                          \
        if (b_tiles >= 4) {                                                                        \
            _tile_loadd(R, b.tile + 3 * b.tile_stride, b.row);                                     \
            multiply(3, L, R);                                                                     \
        }                                                                                          \
    } while (0)

#define ALL_GROUPS(multiply, meanwhile)                                                            \
    do {                                                                                           \
        for (; k >= PQC_AMX_SIDE; k -= PQC_AMX_SIDE) {                                             \
            GROUP(multiply, A_TILE, B_TILE);                                                       \
            a.tile += PQC_AMX_TILE_BYTES;                                                          \
            b.tile += PQC_AMX_TILE_BYTES;                                                          \
            meanwhile;                                                                             \
        }                                                                                          \
        if (k > 0)                                                                                 \
            GROUP(multiply, A_REST, B_REST);                                                       \
    } while (0)

/* Rows of `to` are `row` bytes apart; the rows of the second tile of A follow those of the first. */
INLINE void store_tiles(const int a_tiles, const int b_tiles, int32_t *to, ptrdiff_t row)
{
    int32_t *below = to + PQC_AMX_SIDE * row / 4;
    _tile_stored(0, to, row);
    if (b_tiles >= 2)
        _tile_stored(1, to + PQC_AMX_SIDE, row);
    if (b_tiles >= 3)
        _tile_stored(2, to + 2 * PQC_AMX_SIDE, row);
    if (b_tiles >= 4)
        _tile_stored(3, to + 3 * PQC_AMX_SIDE, row);
    if (a_tiles == 2)
        _tile_stored(2, below, row);
    if (a_tiles == 2 && b_tiles == 2)
        _tile_stored(3, below + PQC_AMX_SIDE, row);
}

/* A: channels, B: pixels. */
INLINE void nchw_tiles(operand a, operand b, const int32_t *offset, ptrdiff_t k, const int a_tiles,
                       const int b_tiles, int32_t *sums)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (offset == NULL) {
        ALL_GROUPS(_tile_dpbsud, (void)0);
    } else {
        const uint8_t *x = b.tile;
        for (; k > 0; k -= PQC_AMX_SIDE, a.tile += PQC_AMX_TILE_BYTES, offset += PQC_AMX_SIDE) {
            b.tile = x + *offset;
            GROUP(_tile_dpbsud, A_TILE, B_TILE);
        }
    }
    store_tiles(a_tiles, b_tiles, sums, 4 * PQC_AMX_SUMS_STRIDE);
}

AMX static void gemm_nchw(const int8_t *w, int blocks, const pqc_amx_pixels *pixels, ptrdiff_t k,
                          int32_t *sums)
{
    ptrdiff_t groups = pqc_div_round_up(k, PQC_AMX_SIDE);
    operand a = {(const uint8_t *)w, groups * PQC_AMX_TILE_BYTES, 64};
    operand b = {pixels->x, pixels->block_stride, pixels->k_stride};
    if (blocks == 2 && pixels->blocks == 2)
        nchw_tiles(a, b, pixels->offset, k, 2, 2, sums);
    else if (blocks == 2)
        nchw_tiles(a, b, pixels->offset, k, 2, 1, sums);
    else if (pixels->blocks == 2)
        nchw_tiles(a, b, pixels->offset, k, 1, 2, sums);
    else
        nchw_tiles(a, b, pixels->offset, k, 1, 1, sums);
}

/* Output parameters of 32 channels, in registers. */
typedef struct {
    output16 of[2];
} pair_output;

INLINE pair_output pair_output_of(const pqc_output_f32 *o)
{
    return (pair_output){
        {output16_of_channels(o, 0, 0xffff), output16_of_channels(o, PQC_LANES, 0xffff)}};
}

INLINE void store_pair(const int32_t *sums, const pair_output *o, float *y)
{
    PQC_UNROLL(2)
    for (int v = 0; v < 2; v++)
        _mm512_storeu_ps(y + PQC_LANES * v,
                         finish16(_mm512_load_si512(sums + PQC_LANES * v), o->of[v]));
}

/* Stores a few rows of pending results, if there are any, to fill the stalls of tile instructions.  `pair` is NULL
 * unless they have 32 channels. */
INLINE void flush_rows(pqc_output_block *b, const int32_t **sums, ptrdiff_t ld, int rows,
                       const pair_output *pair)
{
    for (; rows > 0 && b->pixels > 0;
         rows--, b->pixels--, b->to.y += b->to.pixel_stride, *sums += ld)
        if (pair)
            store_pair(*sums, pair, b->to.y);
        else
            store_rows(*sums, ld, 1, b);
}

AMX static void flush(pqc_amx_pending *pending)
{
    const int32_t *sums = pending->sums[pending->turn];
    flush_rows(&pending->block, &sums, pending->ld, pending->block.pixels, NULL);
}

/* A: rows, B: channels.  PAIR: the pending results have 32 channels. */
INLINE void row_tiles(operand a, operand b, ptrdiff_t k, const int a_tiles, const int b_tiles,
                      const bool PAIR, const int32_t *compensation, pqc_output_block next,
                      pqc_amx_pending *pending)
{
    pqc_output_block block = pending->block;
    const int32_t *sums = pending->sums[pending->turn];
    ptrdiff_t ld = pending->ld;
    int some = (int)(block.pixels / (k / PQC_AMX_SIDE + 1)) + 1;
    pair_output both;
    const pair_output *pair = NULL;
    if (PAIR) {
        both = pair_output_of(&block.to);
        pair = &both;
    }
    _tile_loadd(0, compensation, 0);
    if (b_tiles >= 2)
        _tile_loadd(1, compensation + PQC_LANES, 0);
    if (b_tiles >= 3)
        _tile_loadd(2, compensation + 2 * PQC_LANES, 0);
    if (b_tiles >= 4)
        _tile_loadd(3, compensation + 3 * PQC_LANES, 0);
    if (a_tiles == 2)
        _tile_loadd(2, compensation, 0);
    if (a_tiles == 2 && b_tiles == 2)
        _tile_loadd(3, compensation + PQC_LANES, 0);
    ALL_GROUPS(_tile_dpbusd, flush_rows(&block, &sums, ld, some, pair));
    flush_rows(&block, &sums, ld, block.pixels, pair);
    pending->turn = !pending->turn;
    pending->ld = PQC_LANES * b_tiles;
    pending->block = next;
    store_tiles(a_tiles, b_tiles, pending->sums[pending->turn], 4 * pending->ld);
}

/* A part of a block: at most a given number of rows and channels from some position. */
static pqc_output_block part_of(const pqc_output_block *b, int row, int rows, int channel,
                                int channels)
{
    pqc_output_block part = {.to = pqc_output_f32_from(&b->to, channel),
                             .pixels = (int)pqc_min(b->pixels - row, rows),
                             .channels = (int)pqc_min(b->channels - channel, channels)};
    part.to.y += row * b->to.pixel_stride;
    return part;
}

/* Two blocks of rows by up to two of channels at a time. */
INLINE void two_blocks(const pqc_igemm_params *g, operand a, int row, const pqc_output_block *block,
                       pqc_amx_pending *pending)
{
    for (int v = 0; v < g->vectors; v += 2) {
        operand b = {(const uint8_t *)g->w + v * g->panel_stride, g->panel_stride, 64};
        const int32_t *compensation = g->compensation + PQC_LANES * v;
        pqc_output_block next = part_of(block, row, PQC_AMX_PAIR, PQC_LANES * v, PQC_AMX_PAIR);
        bool pair = pending->block.pixels > 0 && pending->block.channels == PQC_AMX_PAIR;
        if (v + 1 == g->vectors)
            row_tiles(a, b, g->k, 2, 1, false, compensation, next, pending);
        else if (pair)
            row_tiles(a, b, g->k, 2, 2, true, compensation, next, pending);
        else
            row_tiles(a, b, g->k, 2, 2, false, compensation, next, pending);
    }
}

/* One block of rows by all channels. */
INLINE void one_block(const pqc_igemm_params *g, operand a, pqc_output_block next,
                      pqc_amx_pending *pending)
{
    operand b = {(const uint8_t *)g->w, g->panel_stride, 64};
    if (g->vectors == 4)
        row_tiles(a, b, g->k, 1, 4, false, g->compensation, next, pending);
    else if (g->vectors == 3)
        row_tiles(a, b, g->k, 1, 3, false, g->compensation, next, pending);
    else if (g->vectors == 2)
        row_tiles(a, b, g->k, 1, 2, false, g->compensation, next, pending);
    else
        row_tiles(a, b, g->k, 1, 1, false, g->compensation, next, pending);
}

AMX static void gemm_nhwc(const pqc_igemm_params *g, const uint8_t *x,
                          const pqc_output_block *block, pqc_amx_pending *pending)
{
    operand a = {x, pqc_div_round_up(g->k, PQC_AMX_SIDE) * PQC_AMX_TILE_BYTES, 64};
    int row = 0;
    for (; block->pixels - row > PQC_AMX_SIDE; row += PQC_AMX_PAIR, a.tile += 2 * a.tile_stride)
        two_blocks(g, a, row, block, pending);
    if (row < block->pixels)
        one_block(g, a, part_of(block, row, PQC_AMX_SIDE, 0, block->channels), pending);
}

const pqc_amx_gemm pqc_amx_gemm_amx = {.begin = begin,
                                       .end = end,
                                       .gemm_nchw = gemm_nchw,
                                       .gemm_nhwc = gemm_nhwc,
                                       .flush = flush,
                                       .panel = pqc_amx_gemm_panel_avx512,
                                       .store = pqc_amx_gemm_store_avx512};

#endif
