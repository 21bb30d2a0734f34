#include "amx_gemm.h"

#if PQC_AMX_COMPILES
#include "amx_gemm_rows_avx512.h"
#include "amx_gemm_avx512.h"

#include <string.h>

#define AMX PQC_TARGET_AMX
#define INLINE AMX PQC_INLINE

/* The unit's eight registers: 0 to 3 are sums; the operands of 16 steps and of a shorter last group have two each.  Macros,
 * since GCC writes them into the names of the registers. */
#define LEFT 4
#define RIGHT 5
#define LEFT_REST 6
#define RIGHT_REST 7
#define REGISTERS 8

/* What the hardware reads. */
typedef struct {
    uint8_t palette, first_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

AMX static void begin(ptrdiff_t k, int lefts)
{
    int rest = k % PQC_SIDE > 0 ? (int)(k % PQC_SIDE) : PQC_SIDE;
    tile_shapes s = {.palette = 1};
    for (int i = 0; i < REGISTERS; i++) {
        s.row_bytes[i] = 64;
        s.rows[i] = (uint8_t)lefts;
    }
    s.rows[RIGHT] = PQC_SIDE;
    s.rows[RIGHT_REST] = (uint8_t)rest;
    s.row_bytes[LEFT_REST] = (uint16_t)(4 * rest);
    PQC_WRITTEN_WHOLE(&s); /* GCC's intrinsic says that it reads 8 bytes */
    _tile_loadconfig(&s);
}

AMX static void end(void)
{
    _tile_release();
}

/* The operands' first tiles: up to two on the left and four on the right, `apart` bytes from each other; `row` bytes between
 * the rows of one. */
typedef struct {
    const uint8_t *tile;
    ptrdiff_t apart, row;
} operand;

/* Adds 16 steps, or the rest of them.  Of 2 x 2 tiles the right ones, which may lie across cache lines, are loaded once. */
#define GROUP(multiply, L, R)                                                                      \
    do {                                                                                           \
        _tile_loadd(R, right.tile, right.row);                                                     \
        _tile_loadd(L, left.tile, left.row);                                                       \
        multiply(0, L, R);                                                                         \
        if (lefts == 2) {                                                                          \
            _tile_loadd(L, left.tile + left.apart, left.row);                                      \
            multiply(2, L, R);                                                                     \
        }                                                                                          \
        if (rights >= 2) {                                                                         \
            _tile_loadd(R, right.tile + right.apart, right.row);                                   \
            if (lefts == 2) {                                                                      \
                multiply(3, L, R);                                                                 \
                _tile_loadd(L, left.tile, left.row);                                               \
            }                                                                                      \
            multiply(1, L, R);                                                                     \
        }                                                                                          \
        if (rights >= 3) {                                                                         \
            _tile_loadd(R, right.tile + 2 * right.apart, right.row);                               \
            multiply(2, L, R);                                                                     \
        }                                                                                          \
        if (rights >= 4) {                                                                         \
            _tile_loadd(R, right.tile + 3 * right.apart, right.row);                               \
            multiply(3, L, R);                                                                     \
        }                                                                                          \
    } while (0)

#define ALL_GROUPS(multiply, meanwhile)                                                            \
    do {                                                                                           \
        for (; k >= PQC_SIDE; k -= PQC_SIDE) {                                                     \
            GROUP(multiply, LEFT, RIGHT);                                                          \
            left.tile += PQC_TILE_BYTES;                                                           \
            right.tile += PQC_TILE_BYTES;                                                          \
            meanwhile;                                                                             \
        }                                                                                          \
        if (k > 0)                                                                                 \
            GROUP(multiply, LEFT_REST, RIGHT_REST);                                                \
    } while (0)

/* `to` has `row` bytes from a row to the next; on the left, a tile's rows follow the other's. */
INLINE void store(const int lefts, const int rights, int32_t *to, ptrdiff_t row)
{
    int32_t *below = to + PQC_SIDE * row / 4;
    _tile_stored(0, to, row);
    if (rights >= 2)
        _tile_stored(1, to + PQC_SIDE, row);
    if (rights >= 3)
        _tile_stored(2, to + 2 * PQC_SIDE, row);
    if (rights >= 4)
        _tile_stored(3, to + 3 * PQC_SIDE, row);
    if (lefts == 2)
        _tile_stored(2, below, row);
    if (lefts == 2 && rights == 2)
        _tile_stored(3, below + PQC_SIDE, row);
}

/* Channels on the left, pixels on the right. */
INLINE void columns_of(operand left, operand right, const int32_t *offset, ptrdiff_t k,
                       const int lefts, const int rights, int32_t *sums)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (offset == NULL) {
        ALL_GROUPS(_tile_dpbsud, (void)0);
    } else {
        const uint8_t *x = right.tile;
        for (; k > 0; k -= PQC_SIDE, left.tile += PQC_TILE_BYTES, offset += PQC_SIDE) {
            right.tile = x + *offset;
            GROUP(_tile_dpbsud, LEFT, RIGHT);
        }
    }
    store(lefts, rights, sums, 4 * PQC_SUMS_PITCH);
}

AMX static void columns(const int8_t *w, int blocks, const pqc_unit_pixels *pixels, ptrdiff_t k,
                        int32_t *sums)
{
    ptrdiff_t groups = pqc_divided_up(k, PQC_SIDE);
    operand left = {(const uint8_t *)w, groups * PQC_TILE_BYTES, 64};
    operand right = {pixels->x, pixels->apart, pixels->row};
    if (blocks == 2 && pixels->blocks == 2)
        columns_of(left, right, pixels->offset, k, 2, 2, sums);
    else if (blocks == 2)
        columns_of(left, right, pixels->offset, k, 2, 1, sums);
    else if (pixels->blocks == 2)
        columns_of(left, right, pixels->offset, k, 1, 2, sums);
    else
        columns_of(left, right, pixels->offset, k, 1, 1, sums);
}

/* Scale and bias of 32 channels, in registers. */
typedef struct {
    __m512 scale[2], bias[2];
} pair_scales;

INLINE pair_scales pair_scales_of(const pqc_rows *to)
{
    return (pair_scales){{_mm512_loadu_ps(to->scale), _mm512_loadu_ps(to->scale + PQC_LANES)},
                         {_mm512_loadu_ps(to->bias), _mm512_loadu_ps(to->bias + PQC_LANES)}};
}

INLINE void put_pair(const int32_t *sums, const pair_scales *s, float *y)
{
    PQC_UNROLL(2)
    for (int v = 0; v < 2; v++) {
        __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums + PQC_LANES * v));
        _mm512_storeu_ps(y + PQC_LANES * v, _mm512_fmadd_ps(sum, s->scale[v], s->bias[v]));
    }
}

/* Rows of results, as far as there are any: into other instructions' spare time, if they are few.  `pair` is NULL unless
 * there are 32 channels. */
INLINE void write_rows(pqc_rows *to, const int32_t **sums, ptrdiff_t ld, int rows,
                       const pair_scales *pair)
{
    for (; rows > 0 && to->rows > 0; rows--, to->rows--, to->y += to->stride, *sums += ld)
        if (pair)
            put_pair(*sums, pair, to->y);
        else
            put_rows(*sums, ld, 1, to);
}

AMX static void write(pqc_unit_pending *pending)
{
    const int32_t *sums = pending->sums[pending->turn];
    write_rows(&pending->to, &sums, pending->ld, pending->to.rows, NULL);
}

/* Rows on the left, channels on the right.  PAIR: the pending results are of 32 channels. */
INLINE void rows_of(operand left, operand right, ptrdiff_t k, const int lefts, const int rights,
                    const bool PAIR, const int32_t *start, pqc_rows next, pqc_unit_pending *pending)
{
    pqc_rows to = pending->to;
    const int32_t *sums = pending->sums[pending->turn];
    ptrdiff_t ld = pending->ld;
    int some = (int)(to.rows / (k / PQC_SIDE + 1)) + 1;
    pair_scales scales;
    const pair_scales *pair = NULL;
    if (PAIR) {
        scales = pair_scales_of(&to);
        pair = &scales;
    }
    _tile_loadd(0, start, 0);
    if (rights >= 2)
        _tile_loadd(1, start + PQC_LANES, 0);
    if (rights >= 3)
        _tile_loadd(2, start + 2 * PQC_LANES, 0);
    if (rights >= 4)
        _tile_loadd(3, start + 3 * PQC_LANES, 0);
    if (lefts == 2)
        _tile_loadd(2, start, 0);
    if (lefts == 2 && rights == 2)
        _tile_loadd(3, start + PQC_LANES, 0);
    ALL_GROUPS(_tile_dpbusd, write_rows(&to, &sums, ld, some, pair));
    write_rows(&to, &sums, ld, to.rows, pair);
    pending->turn = !pending->turn;
    pending->ld = PQC_LANES * rights;
    pending->to = next;
    store(lefts, rights, pending->sums[pending->turn], 4 * pending->ld);
}

/* The rows and channels from some place on, at most so many. */
static pqc_rows part_of(const pqc_rows *to, int row, int rows, int channel, int channels)
{
    return (pqc_rows){.scale = to->scale + channel,
                      .bias = to->bias + channel,
                      .y = to->y + row * to->stride + channel,
                      .stride = to->stride,
                      .rows = to->rows - row < rows ? to->rows - row : rows,
                      .channels =
                          to->channels - channel < channels ? to->channels - channel : channels};
}

/* Two blocks of rows by up to two of channels at a time. */
INLINE void two_blocks(const pqc_gemm_s8_block *g, operand left, int row, const pqc_rows *to,
                       pqc_unit_pending *pending)
{
    for (int v = 0; v < g->vectors; v += 2) {
        operand right = {(const uint8_t *)g->w + v * g->apart, g->apart, 64};
        const int32_t *start = g->start + PQC_LANES * v;
        pqc_rows next = part_of(to, row, PQC_PAIR, PQC_LANES * v, PQC_PAIR);
        bool pair = pending->to.rows > 0 && pending->to.channels == PQC_PAIR;
        if (v + 1 == g->vectors)
            rows_of(left, right, g->k, 2, 1, false, start, next, pending);
        else if (pair)
            rows_of(left, right, g->k, 2, 2, true, start, next, pending);
        else
            rows_of(left, right, g->k, 2, 2, false, start, next, pending);
    }
}

/* One block of rows by all of the channels. */
INLINE void one_block(const pqc_gemm_s8_block *g, operand left, pqc_rows next,
                      pqc_unit_pending *pending)
{
    operand right = {(const uint8_t *)g->w, g->apart, 64};
    if (g->vectors == 4)
        rows_of(left, right, g->k, 1, 4, false, g->start, next, pending);
    else if (g->vectors == 3)
        rows_of(left, right, g->k, 1, 3, false, g->start, next, pending);
    else if (g->vectors == 2)
        rows_of(left, right, g->k, 1, 2, false, g->start, next, pending);
    else
        rows_of(left, right, g->k, 1, 1, false, g->start, next, pending);
}

AMX static void rows(const pqc_gemm_s8_block *g, const uint8_t *x, const pqc_rows *to,
                     pqc_unit_pending *pending)
{
    operand left = {x, pqc_divided_up(g->k, PQC_SIDE) * PQC_TILE_BYTES, 64};
    int row = 0;
    for (; to->rows - row > PQC_SIDE; row += PQC_PAIR, left.tile += 2 * left.apart)
        two_blocks(g, left, row, to, pending);
    if (row < to->rows)
        one_block(g, left, part_of(to, row, PQC_SIDE, 0, to->channels), pending);
}

const pqc_matrix_unit pqc_unit_amx = {.begin = begin,
                                      .end = end,
                                      .columns = columns,
                                      .rows = rows,
                                      .write = write,
                                      .panel = pqc_panel_avx512,
                                      .put = pqc_put_avx512};

#endif
