#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

enum { MOST_BANDS = 8, LEAST_WIDTH = 4 };

/* Neighbouring rows of outputs for which the same rows of taps lie on the image; others add up to nothing. */
typedef struct {
    ptrdiff_t pixel, pixels; /* the first */
    ptrdiff_t tile, tiles;
    ptrdiff_t tap, taps;
} band;

typedef struct {
    const pqc_conv_work *work;
    band band[MOST_BANDS];
    int bands;
    ptrdiff_t tiles; /* of all bands */
} job;

static void add_band(job *j, ptrdiff_t y, ptrdiff_t rows, ptrdiff_t tap, ptrdiff_t taps)
{
    const pqc_conv_range *range = j->work->range;
    ptrdiff_t pixels = rows * range[2].count, tiles = pqc_tiles(pixels);
    if (pixels == 0)
        return;
    j->band[j->bands++] = (band){y * range[2].count, pixels, j->tiles, tiles, tap, taps};
    j->tiles += tiles;
}

/* The first tap of output row y that lies at input row `in` or below. */
static ptrdiff_t tap_at(const pqc_conv_axis *a, ptrdiff_t y, ptrdiff_t in)
{
    ptrdiff_t distance = in + a->before - y * a->stride;
    return pqc_clamped(distance <= 0 ? 0 : pqc_divided_up(distance, a->dilation), 0, a->kernel);
}

static void add_rows(job *j, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_conv_axis *a = &j->work->plan->shape.axis[1];
    for (ptrdiff_t y = begin; y < end; y++) {
        ptrdiff_t first = tap_at(a, y, 0), last = tap_at(a, y, j->work->view->axis[1].in);
        add_band(j, y, 1, first, last - first);
    }
}

/* The rows at the top and the bottom of which some taps lie on padding come alone, if these are few. */
static void find_bands(job *j)
{
    const pqc_conv_work *w = j->work;
    const pqc_conv_axis *a = &w->plan->shape.axis[1];
    ptrdiff_t rows = w->range[1].count;
    ptrdiff_t top = pqc_least(pqc_divided_up(a->before, a->stride), rows);
    ptrdiff_t room = w->view->axis[1].in + a->before - (a->kernel - 1) * a->dilation;
    ptrdiff_t bottom = pqc_clamped(room <= 0 ? 0 : pqc_divided_up(room, a->stride), top, rows);
    if (w->piece->before == NULL || w->range[0].count > 1 || w->range[2].count < LEAST_WIDTH ||
        top + 1 + rows - bottom > MOST_BANDS) {
        add_band(j, 0, w->range[0].count * rows, 0, a->kernel);
        return;
    }
    add_rows(j, 0, top);
    add_band(j, top, bottom - top, 0, a->kernel);
    add_rows(j, bottom, rows);
}

/* Those of a band's rows of taps. */
static void set_steps(const pqc_conv_tile *tile, const band *b, pqc_conv_steps *steps)
{
    const pqc_conv_piece *piece = tile->piece;
    ptrdiff_t rows = piece->taps[1].count, lanes = tile->plan->lanes;
    ptrdiff_t channels = PQC_LANES * pqc_conv_block_vectors(tile->plan, tile->block);
    const int32_t *before = piece->before + (tile->group * (rows + 1) + b->tap) * lanes +
                            PQC_BLOCK_CHANNELS * tile->block;
    steps->first = pqc_conv_row_steps(piece) * b->tap;
    steps->k = pqc_conv_row_steps(piece) * b->taps;
    for (ptrdiff_t c = 0; c < channels; c++) {
        steps->sum[c] = before[b->taps * lanes + c] - before[c];
        steps->start[c] = tile->has_zero ? -steps->sum[c] : 0;
    }
}

void pqc_conv_pixels(const pqc_conv_work *w, ptrdiff_t first, int pixels, int32_t *pixel)
{
    ptrdiff_t x = first % w->range[2].count, rest = first / w->range[2].count;
    ptrdiff_t y = rest % w->range[1].count, z = rest / w->range[1].count;
    ptrdiff_t row = pqc_conv_pitch(w->view, 1), layer = pqc_conv_pitch(w->view, 0);
    for (int i = 0; i < pixels; i++) {
        pixel[i] = (int32_t)(4 * (z * layer + y * row + x));
        if (++x < w->range[2].count)
            continue;
        x = 0;
        if (++y == w->range[1].count) {
            y = 0;
            z++;
        }
    }
}

/* A piece of a transposed convolution writes every stride-th output. */
static void scatter(const pqc_conv_work *w, const float *tile, ptrdiff_t first, int pixels,
                    int channels, float *y)
{
    ptrdiff_t width = w->range[2].count, rows = w->range[1].count;
    for (int i = 0; i < pixels; i++) {
        ptrdiff_t n = first + i, row = n / width;
        ptrdiff_t at = pqc_conv_output(w, row / rows, row % rows, n % width);
        for (int c = 0; c < channels; c++)
            y[c * w->view->outputs + at] = tile[c * PQC_MOST_TILE + i];
    }
}

static void run_tile(const job *j, ptrdiff_t group, ptrdiff_t block, ptrdiff_t number)
{
    const pqc_conv_work *w = j->work;
    const pqc_conv_shape *shape = &w->plan->shape;
    const band *b = j->band;
    int32_t pixel[PQC_MOST_TILE];
    pqc_conv_steps steps;
    while (number >= b->tile + b->tiles)
        b++;
    ptrdiff_t begin = pqc_part_begin(b->pixels, b->tiles, number - b->tile);
    ptrdiff_t end = pqc_part_begin(b->pixels, b->tiles, number - b->tile + 1);
    ptrdiff_t first = b->pixel + begin, channel = group * shape->out + PQC_BLOCK_CHANNELS * block;
    float *y = w->y + channel * w->view->outputs;
    pqc_conv_tile tile = {.plan = w->plan,
                          .piece = w->piece,
                          .group = group,
                          .block = block,
                          .has_zero = w->call->q.zero != 0,
                          .fetch = !w->near && !shape->transposed,
                          .x = w->bytes + group * w->view->quads * w->view->plane * 4,
                          .offset = w->offset,
                          .pixel = pixel,
                          .pixels = (int)(end - begin),
                          .scale = w->scale + channel,
                          .bias = w->bias + channel};
    pqc_conv_pixels(w, first, tile.pixels, pixel);
    if (b->taps < shape->axis[1].kernel) {
        set_steps(&tile, b, &steps);
        tile.steps = &steps;
    }
    if (!shape->transposed) {
        pqc_conv_tile_run(&tile, false, y + first, w->view->outputs);
        return;
    }
    float result[PQC_BLOCK_CHANNELS * PQC_MOST_TILE];
    pqc_conv_tile_run(&tile, false, result, PQC_MOST_TILE);
    scatter(w, result, first, tile.pixels, pqc_conv_tile_channels(&tile), y);
}

/* Tasks are numbered group, block, tile with the tile fastest: a block's weights stay in the cache. */
static void run_tiles(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    ptrdiff_t blocks = pqc_conv_blocks(j->work->plan);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t task = pqc_turned(begin, end, j->work->backwards, i), block = task / j->tiles;
        run_tile(j, block / blocks, block % blocks, task % j->tiles);
    }
}

void pqc_conv_tiles(const pqc_conv_work *w)
{
    job j = {.work = w};
    find_bands(&j);
    ptrdiff_t tasks = w->plan->shape.groups * pqc_conv_blocks(w->plan) * j.tiles;
    ptrdiff_t products = w->pixels * w->plan->lanes * w->plan->shape.groups * w->piece->k * 4;
    pqc_parallel_turned(tasks, products, PQC_PRODUCTS_GRAIN, w->backwards, run_tiles, &j);
}
