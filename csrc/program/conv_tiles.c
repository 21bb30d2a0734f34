/* Convolutions by tiles of 16 pixels (igemm_nhwc.h), straight from the image: a tile's pixels are equally spaced. */
#include "step.h"

#include "cache_sizes.h"
#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>

/* Multiply-adds, as the grain of pqc_parallel_tasks: about 5 us.  A result takes about as long as so many of them. */
enum { GRAIN = 1 << 22, MACS_PER_RESULT = 300 };

enum {
    MAX_MBLOCK = 16, /* tiles of an M-block, at most */
    MBLOCK = 8,      /* if all weights stay in L2 meanwhile */
    MIN_TASKS = 8,   /* of a convolution, if it has so many */
    MIN_USE = 5,     /* a fifth of the products should be wanted */
    MAX_PIXELS = MAX_MBLOCK * PQC_TILE
};

/* Pixels are counted with those that are not wanted: `pitch` from a row to the next. */
static void set_pitch(const pqc_step *s, pqc_tiling *t)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    ptrdiff_t row = s->y.stride * pqc_image_row(in), pixel = s->x.stride * in->codes.pixel;
    ptrdiff_t apart = pqc_round_up(out->w, PQC_TILE); /* each row has tiles of its own */
    t->pitch = apart;
    t->tiles = out->h * (apart / PQC_TILE);
    if (row % pixel != 0 || row / pixel < out->w)
        return;
    ptrdiff_t together =
        pqc_div_round_up((out->h - 1) * (row / pixel) + out->w, PQC_TILE); /* rows follow on */
    if (together < t->tiles) {
        t->pitch = row / pixel;
        t->tiles = together;
    }
}

static ptrdiff_t run_k(const pqc_step *s)
{
    return s->weights->k / pqc_step_runs(s);
}

static ptrdiff_t tile_at(const pqc_step *s, ptrdiff_t image, ptrdiff_t tile)
{
    ptrdiff_t y = tile * PQC_TILE / s->tiling.pitch, x = tile * PQC_TILE % s->tiling.pitch;
    return pqc_image_at(&s->input, image, y * s->y.stride - s->y.before,
                        x * s->x.stride - s->x.before);
}

pqc_tiling pqc_tiling_of(pqc_step *s)
{
    const pqc_weights *w = s->weights;
    const pqc_image *out = &s->output[0];
    pqc_tiling t = {0};
    if (w->shape.depthwise)
        return t;
    set_pitch(s, &t);
    ptrdiff_t k = run_k(s), out_pair = pqc_round_up(w->shape.out, PQC_TILE_PAIR);
    double use = (double)(out->h * out->w) / (double)(t.tiles * PQC_TILE) * (double)k /
                 (double)pqc_round_up(k, PQC_TILE) * (double)w->shape.out / (double)out_pair;
    t.fits = use * MIN_USE >= 1;
    s->tiling = t;
    t.reach = s->input.offset + tile_at(s, s->input.n - 1, t.tiles - 1) +
              (PQC_TILE - 1) * s->x.stride * s->input.codes.pixel + s->offset[w->k - 1] + 4 +
              (w->shape.groups - 1) * w->shape.in;
    return t;
}

/* Tasks are numbered part of the channels, image, group, M-block, the last fastest. */
typedef struct {
    const pqc_step *step;
    char *const *buffers;
    const pqc_igemm_nhwc *kernels;
    ptrdiff_t mblock, mblocks, parts, pairs; /* tiles of an M-block; pairs of vectors of a group */
    bool ahead;                              /* weights do not stay in L2 */
    pqc_tile_pixels pixels;                  /* but for the tiles */
    ptrdiff_t k_tiles;
    atomic_uint flags;
} job;

static void split(job *j)
{
    const pqc_weights *w = j->step->weights;
    ptrdiff_t tiles = j->step->tiling.tiles, images = j->step->input.n * w->shape.groups;
    j->pairs = pqc_div_round_up(w->padded_out, PQC_TILE_PAIR);
    j->ahead = w->padded_out * w->k * 4 > PQC_L2_TILE_WEIGHTS;
    ptrdiff_t most = j->ahead ? MAX_MBLOCK : MBLOCK;
    j->mblocks = pqc_div_round_up(tiles, most);
    j->mblock = pqc_round_up(pqc_div_round_up(tiles, j->mblocks), 2);
    j->mblocks = pqc_div_round_up(tiles, j->mblock);
    j->parts = pqc_clamp(MIN_TASKS / (j->mblocks * images), 1, j->pairs);
    if (j->ahead)
        j->parts = j->pairs;
    j->pixels = (pqc_tile_pixels){.pixel = j->step->x.stride * j->step->input.codes.pixel,
                                  .run = j->step->offset + w->k,
                                  .runs = pqc_step_runs(j->step),
                                  .run_k = run_k(j->step)};
    j->k_tiles = j->pixels.runs * pqc_div_round_up(j->pixels.run_k, PQC_TILE);
}

/* Some tiles, and where their pixels' results go. */
typedef struct {
    ptrdiff_t image, number; /* -1 at first */
    ptrdiff_t first, tiles;  /* the tiles */
    const uint8_t *tile[MAX_MBLOCK];
    int begin[MAX_MBLOCK / 2 + 1]; /* of each pair of tiles the first pixel that is wanted */
    uint8_t row[MAX_PIXELS];
    ptrdiff_t offset[1 + PQC_MAX_OUTPUTS][MAX_PIXELS];
    pqc_finish_params f; /* of the image's first pixel and channel */
} mblock;

static const pqc_image *image_of(const pqc_step *s, int number)
{
    return number == 0 ? &s->residual : &s->output[number - 1];
}

/* Pixels x to x + count of a row, which are wanted; returns how many there are now. */
static int add_pixels(const pqc_step *s, mblock *b, int pixels, ptrdiff_t row, ptrdiff_t y,
                      ptrdiff_t x, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        b->row[pixels + i] = (uint8_t)(row + i);
    for (int n = s->residual.codes.content == PQC_NOTHING; n <= s->outputs; n++) {
        const pqc_image *image = image_of(s, n);
        ptrdiff_t at = pqc_image_at(image, 0, y, x), pixel = image->codes.pixel;
        for (ptrdiff_t i = 0; i < count; i++)
            b->offset[n][pixels + i] = at + i * pixel;
    }
    return pixels + (int)count;
}

static void add_pair(const pqc_step *s, mblock *b, ptrdiff_t pair)
{
    ptrdiff_t pitch = s->tiling.pitch, width = s->output[0].w;
    ptrdiff_t first = (b->first + 2 * pair) * PQC_TILE;
    ptrdiff_t end = pqc_min(first + PQC_TILE_PAIR, (b->first + b->tiles) * PQC_TILE);
    int pixels = b->begin[pair];
    end = pqc_min(end, s->output[0].h * pitch);
    for (ptrdiff_t at = first; at < end;) {
        ptrdiff_t y = at / pitch, x = at % pitch, count = pqc_min(width - x, end - at);
        if (count > 0)
            pixels = add_pixels(s, b, pixels, at - first, y, x, count);
        at += pitch - x;
    }
    b->begin[pair + 1] = pixels;
}

static void begin_mblock(const job *j, mblock *b, ptrdiff_t image, ptrdiff_t number)
{
    const pqc_step *s = j->step;
    b->image = image;
    b->number = number;
    b->first = number * j->mblock;
    b->tiles = pqc_min(j->mblock, s->tiling.tiles - b->first);
    const uint8_t *x = (const uint8_t *)j->buffers[s->input.buffer] + s->input.offset;
    for (ptrdiff_t i = 0; i < b->tiles; i++)
        b->tile[i] = x + tile_at(s, image, b->first + i);
    b->begin[0] = 0;
    for (ptrdiff_t pair = 0; 2 * pair < b->tiles; pair++)
        add_pair(s, b, pair);
    b->f = pqc_conv_step_finish(s);
    for (int i = 0; i < s->outputs; i++) {
        const pqc_image *out = &s->output[i];
        b->f.output[i].at = j->buffers[out->buffer] + out->offset + image * pqc_image_size(out);
    }
    if (s->residual.codes.content != PQC_NOTHING)
        b->f.residual.at = j->buffers[s->residual.buffer] + s->residual.offset +
                           image * pqc_image_size(&s->residual);
}

/* Weights of a pair of vectors. */
static pqc_tile_weights weights_of(const job *j, ptrdiff_t group, ptrdiff_t pair)
{
    const pqc_weights *w = j->step->weights;
    ptrdiff_t channel = PQC_TILE_PAIR * pair, panel = channel / PQC_NR * PQC_NR;
    ptrdiff_t row = group * w->padded_out + panel, width = pqc_min(w->padded_out - panel, PQC_NR);
    return (pqc_tile_weights){
        .w = w->bytes + row * w->k * 4 + (channel - panel) * 4,
        .k_stride = 4 * width,
        .compensation = w->shape.zero ? w->compensation + group * w->padded_out + channel : NULL,
        .channels = (int)pqc_min(w->shape.out - channel, PQC_TILE_PAIR),
    };
}

/* Weights of the next pair of vectors are fetched while these are multiplied with all tiles. */
static void fetch_next(const job *j, const mblock *b, ptrdiff_t group, ptrdiff_t pair, ptrdiff_t n,
                       pqc_tile_weights *weights)
{
    if (pair + 1 == j->pairs)
        return;
    pqc_tile_weights next = weights_of(j, group, pair + 1);
    ptrdiff_t calls = j->ahead ? pqc_div_round_up(b->tiles, 2) : 1;
    weights->ahead_k = (int)pqc_div_round_up(j->step->weights->k, j->k_tiles * calls);
    weights->ahead_stride = next.k_stride;
    weights->ahead =
        next.w + (j->ahead ? n : 0) * weights->ahead_stride * weights->ahead_k * j->k_tiles;
}

/* Pair `number` of an M-block's tiles by a pair of vectors. */
static void multiply(const job *j, const mblock *b, ptrdiff_t group, ptrdiff_t number,
                     ptrdiff_t pair, pqc_tile_weights *weights, pqc_tile_pending *pending)
{
    const pqc_step *s = j->step;
    pqc_tile_pixels pixels = j->pixels;
    int first = b->begin[number];
    pixels.tiles = (int)pqc_min(b->tiles - 2 * number, 2);
    for (int n = 0; n < 2; n++)
        pixels.tile[n] =
            b->tile[2 * number + (n < pixels.tiles ? n : 0)] + group * s->weights->shape.in;
    pqc_tile_results to = {.f = &b->f,
                           .channel = group * s->weights->shape.out + PQC_TILE_PAIR * pair,
                           .row = b->row + first,
                           .pixels = b->begin[number + 1] - first,
                           .channels = weights->channels};
    for (int n = 0; n <= s->outputs; n++)
        to.offset[n] = b->offset[n] + first;
    j->kernels->multiply(&pixels, weights, &to, pending);
}

static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    const pqc_weights_shape *shape = &j->step->weights->shape;
    mblock b;
    pqc_tile_pending pending;
    b.number = b.image = -1;
    pending.turn = pending.done = 0;
    pending.to.pixels = 0;
    pending.flags = 0;
    j->kernels->begin(run_k(j->step));
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t number = i % j->mblocks, rest = i / j->mblocks, group = rest % shape->groups;
        ptrdiff_t image = rest / shape->groups % j->step->input.n;
        ptrdiff_t part = rest / shape->groups / j->step->input.n;
        if (number != b.number || image != b.image) {
            j->kernels->flush(&pending);
            begin_mblock(j, &b, image, number);
        }
        ptrdiff_t first = pqc_part_begin(j->pairs, j->parts, part);
        ptrdiff_t pairs = pqc_part_begin(j->pairs, j->parts, part + 1) - first;
        ptrdiff_t rows = pqc_div_round_up(b.tiles, 2);
        for (ptrdiff_t at = 0; at < pairs * rows; at++) {
            ptrdiff_t pair = first + (j->ahead ? at / rows : at % pairs);
            ptrdiff_t n = j->ahead ? at % rows : at / pairs;
            pqc_tile_weights weights = weights_of(j, group, pair);
            if (j->ahead || (i == begin && n == 0))
                fetch_next(j, &b, group, pair, n, &weights);
            multiply(j, &b, group, n, pair, &weights, &pending);
        }
    }
    j->kernels->flush(&pending);
    j->kernels->end();
    atomic_fetch_or_explicit(&j->flags, pending.flags, memory_order_relaxed);
}

unsigned pqc_conv_tiles_run(const pqc_step *s, char *const *buffers)
{
    const pqc_weights *w = s->weights;
    job j = {.step = s, .buffers = buffers, .kernels = pqc.igemm_nhwc};
    split(&j);
    ptrdiff_t tasks = j.parts * s->input.n * w->shape.groups * j.mblocks;
    ptrdiff_t results = s->input.n * w->shape.groups * w->padded_out * s->tiling.tiles * PQC_TILE;
    pqc_parallel_tasks(tasks, results * (4 * w->k + MACS_PER_RESULT), GRAIN, run_tasks, &j);
    return atomic_load(&j.flags);
}
