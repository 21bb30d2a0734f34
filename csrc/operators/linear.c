#include "igemm_mblock.h"
#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum { STRIP_BYTES = 1 << 20, GROUP_BYTES = 640 << 10, QUANTIZE_GRAIN = 1 << 14 };

/* To fetch a weight takes as long as so many products. */
enum { FETCH = 4 };

/* One row is faster by vectors: the weights come from the caches, and tiles take them no faster. */
enum { LEAST_UNIT_ROWS = 2 };

/* A strip of rows is quantised and multiplied at a time: it stays in the cache, and memory does not
 * grow with rows. */
typedef struct {
    const pqc_conv_plan *plan;
    const pqc_conv_call *call;
    float *scale, *bias;
    int32_t *offset;
    uint8_t *bytes;
    ptrdiff_t pitch; /* bytes of a row */
    ptrdiff_t first, rows, tiles;
    bool near;                   /* x and y stay in the second cache */
    ptrdiff_t group;             /* blocks of output channels */
    const pqc_matrix_unit *unit; /* or NULL: then */
    ptrdiff_t block;             /* is 1, else 16: so many rows are stored together */
    pqc_gemm_row_fn *gemm_row;   /* if it can take the only row there is, or NULL */
    atomic_uint flags;
} work;

static const pqc_matrix_unit *unit_of(const pqc_conv_plan *plan, ptrdiff_t rows)
{
    return rows >= LEAST_UNIT_ROWS ? plan->shape.unit : NULL;
}

static pqc_gemm_row_fn *gemm_row_of(const pqc_conv_plan *plan, ptrdiff_t rows)
{
    return rows == 1 && plan->parts == 1 && plan->piece->chunks == 1 ? pqc.gemm_row : NULL;
}

static ptrdiff_t pitch_of(const pqc_conv_plan *plan, bool unit)
{
    ptrdiff_t step = unit ? 4 * PQC_SIDE : 4;
    return pqc_divided_up(plan->shape.in, step) * step;
}

static ptrdiff_t strip_of(const pqc_conv_plan *plan, bool unit, ptrdiff_t rows)
{
    ptrdiff_t strip = STRIP_BYTES / pitch_of(plan, unit) / PQC_MOST_TILE * PQC_MOST_TILE;
    strip = strip < PQC_MOST_TILE ? PQC_MOST_TILE : strip;
    return rows < strip ? rows : strip;
}

ptrdiff_t pqc_linear_workspace(const pqc_conv_plan *plan, ptrdiff_t rows)
{
    bool unit = unit_of(plan, rows) != NULL;
    ptrdiff_t strip = strip_of(plan, unit, rows), block = unit ? PQC_SIDE : 1;
    return 2 * pqc_aligned(plan->shape.out * (ptrdiff_t)sizeof(float)) +
           pqc_aligned(plan->piece->k * (ptrdiff_t)sizeof(int32_t)) +
           pqc_aligned(pqc_divided_up(strip, block) * block * pitch_of(plan, unit));
}

static void lay_out(work *w)
{
    char *at = w->call->workspace;
    ptrdiff_t channels = pqc_aligned(w->plan->shape.out * (ptrdiff_t)sizeof(float));
    w->scale = (float *)(void *)at;
    w->bias = (float *)(void *)(at + channels);
    w->offset = (int32_t *)(void *)(at + 2 * channels);
    w->bytes =
        (uint8_t *)at + 2 * channels + pqc_aligned(w->plan->piece->k * (ptrdiff_t)sizeof(int32_t));
}

/* What tiles need and one row does not. */
static void set_up_tiles(work *w)
{
    int32_t *offset = w->offset;
    ptrdiff_t quads = pitch_of(w->plan, false) / 4;
    for (ptrdiff_t part = 0; part < w->plan->parts; part++)
        for (ptrdiff_t quad = 0; quad < quads; quad++)
            *offset++ = (int32_t)(4 * quad);
    pqc_conv_scales(w->plan, w->call, w->scale, w->bias);
}

static unsigned quantize(const work *w, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t column,
                         ptrdiff_t n, uint8_t *y, ptrdiff_t y_row)
{
    ptrdiff_t in = w->plan->shape.in;
    unsigned flags =
        pqc.quantize_u8(&(pqc_u8_rows){.x = w->call->x + (w->first + row) * in + column,
                                       .y = y,
                                       .x_row = in,
                                       .y_row = y_row,
                                       .rows = rows,
                                       .n = n,
                                       .q = w->call->q});
    for (ptrdiff_t i = 0; i < rows && n % 4 != 0; i++)
        memset(y + i * y_row + n, 0, (size_t)(4 - n % 4)); /* their weights are 0 */
    return flags;
}

static void quantize_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    work *w = context;
    unsigned flags = quantize(w, begin, end - begin, 0, w->plan->shape.in,
                              w->bytes + begin * w->pitch, w->pitch);
    if (flags != 0)
        atomic_fetch_or(&w->flags, flags);
}

/* Blocks of 16 rows, as amx_gemm.h has them.  Backwards, as in conv_pack_input.c. */
static void quantize_blocks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    work *w = context;
    unsigned flags = 0;
    for (ptrdiff_t row = PQC_SIDE * (end - 1); row >= PQC_SIDE * begin; row -= PQC_SIDE)
        for (ptrdiff_t column = 0; column < w->plan->shape.in; column += 4 * PQC_SIDE)
            flags |= quantize(w, row, pqc_least(w->rows - row, PQC_SIDE), column,
                              pqc_least(w->plan->shape.in - column, 4 * PQC_SIDE),
                              w->bytes + row * w->pitch + PQC_SIDE * column, 4 * PQC_SIDE);
    if (flags != 0)
        atomic_fetch_or(&w->flags, flags);
}

/* Blocks whose weights stay in the second cache while the rows pass over them: the wider, the longer is the part of a row
 * that is written at once. */
static ptrdiff_t group_of(const pqc_conv_plan *plan)
{
    ptrdiff_t most = GROUP_BYTES / (4 * PQC_BLOCK_CHANNELS * plan->piece->k),
              blocks = pqc_conv_blocks(plan);
    ptrdiff_t groups = most > 0 ? pqc_divided_up(blocks, most) : blocks;
    return pqc_divided_up(blocks, groups);
}

/* Tasks are numbered group of blocks, tile, block.  They are gone through step by step, as a division takes as long as many
 * products. */
typedef struct {
    ptrdiff_t first, end; /* blocks of the group */
    ptrdiff_t block, tile;
    ptrdiff_t row; /* the tile's first */
    int rows;
} place;

static ptrdiff_t first_row(const work *w, ptrdiff_t tile)
{
    ptrdiff_t blocks = pqc_divided_up(w->rows, w->block);
    return pqc_least(w->block * pqc_part_begin(blocks, w->tiles, tile), w->rows);
}

static void enter_group(const work *w, place *at, ptrdiff_t first)
{
    at->first = first;
    at->end = pqc_least(first + w->group, pqc_conv_blocks(w->plan));
}

static void enter_tile(const work *w, place *at, ptrdiff_t tile)
{
    at->tile = tile;
    at->row = first_row(w, tile);
    at->rows = (int)(first_row(w, tile + 1) - at->row);
}

static place place_of(const work *w, ptrdiff_t task)
{
    ptrdiff_t of_group = w->group * w->tiles, rest = task % of_group;
    place at;
    enter_group(w, &at, task / of_group * w->group);
    enter_tile(w, &at, rest / (at.end - at.first));
    at.block = at.first + rest % (at.end - at.first);
    return at;
}

/* To the next task, or the one before. */
static void move_on(const work *w, place *at)
{
    int by = w->call->backwards ? -1 : 1;
    at->block += by;
    if (at->first <= at->block && at->block < at->end)
        return;
    ptrdiff_t tile = at->tile + by;
    if (tile < 0 || tile == w->tiles) {
        enter_group(w, at, at->first + by * w->group);
        tile = tile < 0 ? w->tiles - 1 : 0;
    }
    enter_tile(w, at, tile);
    at->block = by < 0 ? at->end - 1 : at->first;
}

static float *output_of(const work *w, place at)
{
    return w->call->y + (w->first + at.row) * w->plan->shape.out + PQC_BLOCK_CHANNELS * at.block;
}

static pqc_conv_tile tile_of(const work *w, place at, const int32_t *pixel)
{
    return (pqc_conv_tile){.plan = w->plan,
                           .piece = w->plan->piece,
                           .block = at.block,
                           .has_zero = w->call->q.zero != 0,
                           .fetch = !w->near,
                           .x = w->bytes + at.row * w->pitch,
                           .offset = w->offset,
                           .pixel = pixel,
                           .pixels = at.rows,
                           .scale = w->scale + PQC_BLOCK_CHANNELS * at.block,
                           .bias = w->bias + PQC_BLOCK_CHANNELS * at.block};
}

static void run_tiles(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const work *w = context;
    int32_t pixel[PQC_MOST_TILE];
    for (int i = 0; i < pqc_least(w->rows, PQC_MOST_TILE); i++)
        pixel[i] = (int32_t)(i * w->pitch);
    place at = place_of(w, w->call->backwards ? end - 1 : begin);
    for (ptrdiff_t left = end - begin; left > 0; left--, move_on(w, &at)) {
        pqc_conv_tile tile = tile_of(w, at, pixel);
        pqc_conv_tile_run(&tile, true, output_of(w, at), w->plan->shape.out);
    }
}

/* Blocks of the only row. */
static void run_row(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const work *w = context;
    const pqc_conv_plan *plan = w->plan;
    const pqc_conv_piece *piece = plan->piece;
    ptrdiff_t first = PQC_BLOCK_CHANNELS * begin;
    pqc_gemm_row row = {.x = w->bytes,
                        .k = piece->k,
                        .w = piece->w + 4 * piece->k * first,
                        .narrow = plan->shape.unit != NULL,
                        .start = (w->call->q.zero != 0 ? piece->start : plan->zeros) + first,
                        .scale = 1.0 / (double)w->call->div,
                        .inverse = plan->inverse + first,
                        .bias = w->call->bias ? w->call->bias + first : NULL,
                        .y = w->call->y + first,
                        .channels = pqc_least(plan->shape.out, PQC_BLOCK_CHANNELS * end) - first,
                        .backwards = w->call->backwards};
    w->gemm_row(&row);
}

static void run_tiles_on_unit(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const work *w = context;
    pqc_unit_pending pending;
    pending.turn = pending.to.rows = 0;
    pending.ld = PQC_PAIR;
    w->unit->begin(w->plan->piece->k, (int)pqc_least(w->rows, PQC_SIDE));
    place at = place_of(w, w->call->backwards ? end - 1 : begin);
    for (ptrdiff_t left = end - begin; left > 0; left--, move_on(w, &at)) {
        pqc_conv_tile tile = tile_of(w, at, NULL);
        pqc_gemm_s8_block g = pqc_conv_tile_products(&tile);
        pqc_rows to = {.scale = tile.scale,
                       .bias = tile.bias,
                       .y = output_of(w, at),
                       .stride = w->plan->shape.out,
                       .rows = at.rows,
                       .channels = pqc_conv_tile_channels(&tile)};
        w->unit->rows(&g, tile.x, &to, &pending);
    }
    w->unit->write(&pending);
    w->unit->end();
}

/* On the unit the row blocks of a tile are pairs, as far as they go. */
static void run_strip(work *w)
{
    ptrdiff_t blocks = pqc_divided_up(w->rows, w->block);
    ptrdiff_t most = PQC_MOST_TILE / w->block;
    w->tiles = w->unit ? pqc_divided_up(blocks, most) : pqc_tiles(w->rows);
    pqc_parallel_tasks(blocks, w->rows * w->plan->shape.in, QUANTIZE_GRAIN,
                       w->unit ? quantize_blocks : quantize_rows, w);
    if (atomic_load(&w->flags) != 0)
        return;
    ptrdiff_t tasks = pqc_conv_blocks(w->plan) * w->tiles;
    ptrdiff_t products =
        pqc_clamped(w->rows, FETCH, PTRDIFF_MAX) * w->plan->lanes * w->plan->piece->k * 4;
    pqc_parallel_turned(tasks, products, PQC_PRODUCTS_GRAIN, w->call->backwards,
                        w->unit       ? run_tiles_on_unit
                        : w->gemm_row ? run_row
                                      : run_tiles,
                        w);
}

unsigned pqc_linear_s8(const pqc_conv_plan *plan, const pqc_conv_call *call)
{
    work w = {.plan = plan, .call = call, .group = group_of(plan)};
    unsigned flags = 0;
    if (call->batch == 0)
        return 0;
    w.unit = unit_of(plan, call->batch);
    ptrdiff_t strip = strip_of(plan, w.unit != NULL, call->batch);
    w.block = w.unit ? PQC_SIDE : 1;
    w.near = call->batch * (plan->shape.in + plan->shape.out) * 4 < PQC_NEAR_BYTES;
    w.gemm_row = gemm_row_of(plan, call->batch);
    w.pitch = pitch_of(plan, w.unit != NULL);
    lay_out(&w);
    if (w.gemm_row == NULL)
        set_up_tiles(&w);
    for (w.first = (call->batch - 1) / strip * strip; w.first >= 0 && flags == 0;
         w.first -= strip) { /* backwards, as in conv_pack_input.c */
        w.rows = pqc_least(call->batch - w.first, strip);
        run_strip(&w);
        flags = atomic_load(&w.flags);
    }
    return flags;
}
