#include "conv_block.h"
#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>

enum { STRIP_BYTES = 1 << 20, QUANTIZE_GRAIN = 1 << 16 };

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
    atomic_uint flags;
} work;

static ptrdiff_t pitch_of(const pqc_conv_plan *plan)
{
    return (plan->shape.in + 3) / 4 * 4;
}

static ptrdiff_t strip_of(const pqc_conv_plan *plan, ptrdiff_t rows)
{
    ptrdiff_t strip = STRIP_BYTES / pitch_of(plan);
    strip = strip < PQC_MOST_TILE ? PQC_MOST_TILE : strip;
    return rows < strip ? rows : strip;
}

ptrdiff_t pqc_linear_workspace(const pqc_conv_plan *plan, ptrdiff_t rows)
{
    return 2 * pqc_aligned(plan->shape.out * (ptrdiff_t)sizeof(float)) +
           pqc_aligned(plan->piece->k * (ptrdiff_t)sizeof(int32_t)) +
           pqc_aligned(strip_of(plan, rows) * pitch_of(plan));
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
    ptrdiff_t quads = w->pitch / 4;
    for (ptrdiff_t step = 0; step < w->plan->piece->k; step++)
        w->offset[step] = (int32_t)(4 * (step % quads));
}

static void quantize_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    work *w = context;
    ptrdiff_t in = w->plan->shape.in;
    unsigned flags = pqc.quantize_u8(&(pqc_u8_rows){.x = w->call->x + (w->first + begin) * in,
                                                    .y = w->bytes + begin * w->pitch,
                                                    .x_row = in,
                                                    .y_row = w->pitch,
                                                    .rows = end - begin,
                                                    .n = in,
                                                    .q = w->call->q});
    for (ptrdiff_t row = begin; row < end && in < w->pitch; row++)
        for (ptrdiff_t i = in; i < w->pitch; i++)
            w->bytes[row * w->pitch + i] = 0; /* its weight is 0 */
    if (flags != 0)
        atomic_fetch_or(&w->flags, flags);
}

static void run_tiles(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const work *w = context;
    int32_t pixel[PQC_MOST_TILE];
    for (int i = 0; i < PQC_MOST_TILE; i++)
        pixel[i] = (int32_t)(i * w->pitch);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t block = i / w->tiles, channel = PQC_BLOCK_CHANNELS * block,
                  out = w->plan->shape.out;
        ptrdiff_t row = pqc_tile_begin(w->rows, w->tiles, i % w->tiles);
        pqc_conv_tile tile = {.plan = w->plan,
                              .piece = w->plan->piece,
                              .block = block,
                              .has_zero = w->call->q.zero != 0,
                              .x = w->bytes + row * w->pitch,
                              .offset = w->offset,
                              .pixel = pixel,
                              .pixels =
                                  (int)(pqc_tile_begin(w->rows, w->tiles, i % w->tiles + 1) - row),
                              .scale = w->scale + channel,
                              .bias = w->bias + channel};
        pqc_conv_tile_run(&tile, true, w->call->y + (w->first + row) * out + channel, out);
    }
}

unsigned pqc_linear_s8(const pqc_conv_plan *plan, const pqc_conv_call *call)
{
    work w = {.plan = plan, .call = call, .pitch = pitch_of(plan)};
    ptrdiff_t strip = strip_of(plan, call->batch);
    lay_out(&w);
    pqc_conv_scales(plan, call, w.scale, w.bias);
    for (; w.first < call->batch; w.first += strip) {
        w.rows = call->batch - w.first < strip ? call->batch - w.first : strip;
        w.tiles = pqc_tiles(w.rows);
        pqc_parallel(w.rows, QUANTIZE_GRAIN / plan->shape.in + 1, quantize_rows, &w);
        unsigned flags = atomic_load(&w.flags);
        if (flags != 0)
            return flags;
        ptrdiff_t tasks = pqc_conv_blocks(plan) * w.tiles;
        ptrdiff_t products = w.rows * plan->lanes * plan->piece->k * 4;
        pqc_parallel(tasks, PQC_PRODUCTS_GRAIN / (products / tasks + 1) + 1, run_tiles, &w);
    }
    return 0;
}
