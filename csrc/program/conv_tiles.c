/* Convolutions by tiles of 16 pixels (igemm_nhwc.h), u8 x s8, loaded straight from the image, where a tile's pixels
 * are equally spaced. */
#include "cache_sizes.h"
#include "conv_tail.h"
#include "conv_ways.h"
#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>

/* GRAIN in multiply-adds, as for pqc_parallel_tasks: about 5 us.  Storing one result takes about as long as
 * MACS_PER_RESULT of them. */
enum { GRAIN = 1 << 22, MACS_PER_RESULT = 300 };

enum {
    MAX_MBLOCK = 16, /* most tiles in an M-block */
    MBLOCK = 8,      /* if all weights stay in L2 */
    MAX_AHEAD = 16,  /* rows of weights that are prefetched with a tile of K */
    MIN_TASKS = 8,   /* per convolution, if it has enough blocks */
    MIN_USE = 5,     /* at least a fifth of the products must be useful */
    MAX_PIXELS = MAX_MBLOCK * PQC_TILE,
    CHAIN_PAIRS =
        PQC_NR / PQC_TILE_PAIR, /* pairs of vectors in a task whose results go through a chain */
};

/* Pixels are numbered with the unwanted ones between rows included: rows are `pitch` pixels apart. */
static void set_pitch(const pqc_step *s, pqc_tiling *t)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    ptrdiff_t row = s->y.stride * pqc_image_row(in), pixel = s->x.stride * in->codes.pixel;
    ptrdiff_t apart = pqc_round_up(out->w, PQC_TILE); /* each row in tiles of its own */
    t->pitch = apart;
    t->tiles = out->h * (apart / PQC_TILE);
    if (row % pixel != 0 || row / pixel < out->w)
        return;
    /* rows packed one after the other */
    ptrdiff_t together = pqc_div_round_up((out->h - 1) * (row / pixel) + out->w, PQC_TILE);
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

/* Tasks are numbered (part of the channels, image, group, M-block), M-block fastest. */
typedef struct {
    const pqc_step *step;
    char *const *buffers;
    const pqc_igemm_nhwc *kernels;
    ptrdiff_t tasks, mblock, mblocks, parts,
        pairs;              /* tiles per M-block; pairs of vectors per group */
    bool ahead;             /* weights do not stay in L2 */
    pqc_tile_pixels pixels; /* all fields but the tiles */
    ptrdiff_t k_tiles;
    atomic_uint flags;
} job;

static void split(job *j)
{
    const pqc_weights *w = j->step->weights;
    ptrdiff_t tiles = j->step->tiling.tiles, images = j->step->input.n * w->shape.groups;
    j->pairs = pqc_div_round_up(w->padded_out, PQC_TILE_PAIR);
    j->ahead = w->padded_out * w->k * 4 > PQC_L2_TILE_WEIGHTS;
    bool chain = j->step->chain_length > 0;
    ptrdiff_t most = j->ahead && !chain ? MAX_MBLOCK : MBLOCK;
    j->mblocks = pqc_div_round_up(tiles, most);
    j->mblock = pqc_round_up(pqc_div_round_up(tiles, j->mblocks), 2);
    j->mblocks = pqc_div_round_up(tiles, j->mblock);
    j->parts = pqc_clamp(MIN_TASKS / (j->mblocks * images), 1, j->pairs);
    if (chain)
        j->parts = pqc_max(j->parts, pqc_div_round_up(j->pairs, CHAIN_PAIRS));
    if (j->ahead)
        j->parts = j->pairs;
    j->pixels = (pqc_tile_pixels){.pixel = j->step->x.stride * j->step->input.codes.pixel,
                                  .run = j->step->offset + w->k,
                                  .runs = pqc_step_runs(j->step),
                                  .run_k = run_k(j->step)};
    j->k_tiles = j->pixels.runs * pqc_div_round_up(j->pixels.run_k, PQC_TILE);
}

/* An M-block: some tiles, and where the results of their pixels go. */
typedef struct {
    ptrdiff_t image, number;                /* -1 at first */
    ptrdiff_t first, tiles;                 /* first tile, and their number */
    pqc_tile_pixels pixels[MAX_MBLOCK / 2]; /* per pair of tiles, in group 0 */
    pqc_tile_results results[MAX_MBLOCK / 2];
    int begin[MAX_MBLOCK / 2 + 1]; /* index of the first wanted pixel of each pair of tiles */
    uint8_t row[MAX_PIXELS];
    ptrdiff_t offset[1 + PQC_MAX_OUTPUTS][MAX_PIXELS];
    pqc_output f; /* at the image's first pixel and channel */
} mblock;

static const pqc_image *image_of(const pqc_step *s, int number)
{
    return number == 0 ? &s->residual : &s->output[number - 1];
}

/* Appends the wanted pixels [x, x + count) of a row; returns the new number of pixels. */
static int add_pixels(const pqc_step *s, mblock *b, int pixels, ptrdiff_t row, ptrdiff_t y,
                      ptrdiff_t x, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        b->row[pixels + i] = (uint8_t)(row + i);
    int outputs = s->chain_length ? 0 : s->outputs;
    for (int n = s->residual.codes.content == PQC_NOTHING; n <= outputs; n++) {
        const pqc_image *image = image_of(s, n);
        ptrdiff_t at = pqc_image_at(image, 0, y, x), pixel = image->codes.pixel;
        for (ptrdiff_t i = 0; i < count; i++)
            b->offset[n][pixels + i] = at + i * pixel;
    }
    return pixels + (int)count;
}

static void set_pixels(const job *j, mblock *b, ptrdiff_t pair)
{
    const pqc_step *s = j->step;
    const uint8_t *x = (const uint8_t *)j->buffers[s->input.buffer] + s->input.offset;
    pqc_tile_pixels *pixels = &b->pixels[pair];
    *pixels = j->pixels;
    pixels->tiles = (int)pqc_min(b->tiles - 2 * pair, 2);
    for (int n = 0; n < 2; n++)
        pixels->tile[n] =
            x + tile_at(s, b->image, b->first + 2 * pair + (n < pixels->tiles ? n : 0));
}

static void add_pair(const job *j, mblock *b, ptrdiff_t pair)
{
    const pqc_step *s = j->step;
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
    set_pixels(j, b, pair);
    b->results[pair] = (pqc_tile_results){
        .f = &b->f, .row = b->row + b->begin[pair], .pixels = pixels - b->begin[pair]};
    for (int n = 0; n <= s->outputs; n++)
        b->results[pair].offset[n] = b->offset[n] + b->begin[pair];
}

static void begin_mblock(const job *j, mblock *b, ptrdiff_t image, ptrdiff_t number)
{
    const pqc_step *s = j->step;
    b->image = image;
    b->number = number;
    b->first = number * j->mblock;
    b->tiles = pqc_min(j->mblock, s->tiling.tiles - b->first);
    b->begin[0] = 0;
    for (ptrdiff_t pair = 0; 2 * pair < b->tiles; pair++)
        add_pair(j, b, pair);
    b->f = pqc_tail_output(s);
    for (int i = 0; i < s->outputs && !s->chain_length; i++) {
        const pqc_image *out = &s->output[i];
        b->f.output[i].at = j->buffers[out->buffer] + out->offset + image * pqc_image_size(out);
    }
    if (s->residual.codes.content != PQC_NOTHING)
        b->f.residual.at = j->buffers[s->residual.buffer] + s->residual.offset +
                           image * pqc_image_size(&s->residual);
}

/* What a thread prefetches of the next step's weights: two cache lines at a time, `rows` times per tile of K. */
typedef struct {
    const int8_t *at, *end;
    int rows;
    bool first; /* the step's own weights have not been read yet */
} ahead;

/* The share of those weights that corresponds to tasks [begin, end). */
static ahead ahead_of(const job *j, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_weights *next = j->step->next;
    ahead a = {.first = true};
    if (!next || next->shape.depthwise)
        return a;
    ptrdiff_t bytes = next->shape.groups * next->padded_out * next->k * 4;
    bytes = pqc_min(bytes, PQC_L2_TILE_WEIGHTS);
    a.at = next->bytes + pqc_part_begin(bytes, j->tasks, begin);
    a.end = next->bytes + pqc_part_begin(bytes, j->tasks, end);
    ptrdiff_t calls = (end - begin) * pqc_div_round_up(j->pairs, j->parts) *
                      pqc_div_round_up(j->mblock, 2) * j->k_tiles;
    a.rows = (int)pqc_min(pqc_div_round_up(a.end - a.at, calls * 2 * PQC_CACHE_LINE), MAX_AHEAD);
    return a;
}

/* The weights of a pair of vectors. */
static pqc_tile_weights weights_of(const job *j, ptrdiff_t group, ptrdiff_t pair)
{
    const pqc_weights *w = j->step->weights;
    ptrdiff_t channel = PQC_TILE_PAIR * pair, panel = channel / PQC_NR * PQC_NR;
    ptrdiff_t row = group * w->padded_out + panel, width = pqc_min(w->padded_out - panel, PQC_NR);
    return (pqc_tile_weights){
        .w = w->bytes + row * w->k * 4 + (channel - panel) * 4,
        .k_stride = 4 * width,
        .compensation = w->shape.zero ? w->compensation + group * w->padded_out + channel : NULL,
        .channel = group * w->shape.out + channel,
        .channels = (int)pqc_min(w->shape.out - channel, PQC_TILE_PAIR),
    };
}

/* Chooses the weights to prefetch meanwhile: those of this step's next pair of vectors, if they have not been read
 * yet or do not stay in L2; else some of the next step's. */
static void fetch_ahead(const job *j, const mblock *b, ptrdiff_t group, ptrdiff_t pair, ptrdiff_t n,
                        ahead *next, pqc_tile_weights *weights)
{
    if (pair + 1 < j->pairs && (j->ahead || next->first)) {
        pqc_tile_weights own = weights_of(j, group, pair + 1);
        ptrdiff_t calls = j->ahead ? pqc_div_round_up(b->tiles, 2) : 1;
        weights->ahead_k = (int)pqc_div_round_up(j->step->weights->k, j->k_tiles * calls);
        weights->ahead_stride = own.k_stride;
        weights->ahead =
            own.w + (j->ahead ? n : 0) * weights->ahead_stride * weights->ahead_k * j->k_tiles;
    } else if (next->at < next->end) {
        weights->ahead = next->at;
        weights->ahead_stride = 2 * PQC_CACHE_LINE;
        weights->ahead_k = next->rows;
        next->at += next->rows * j->k_tiles * weights->ahead_stride;
    }
}

/* If a chain follows: the results of an M-block and some channels, as contiguous floats. */
typedef struct {
    pqc_tail tail;
    _Alignas(64) float results[MBLOCK * PQC_TILE * PQC_NR];
} chained;

static void begin_chain(mblock *b, chained *c, ptrdiff_t channel, ptrdiff_t channels)
{
    ptrdiff_t pixel = channels * (ptrdiff_t)sizeof *c->results;
    for (ptrdiff_t i = 0; i < b->begin[pqc_div_round_up(b->tiles, 2)]; i++)
        b->offset[1][i] = i * pixel - channel * (ptrdiff_t)sizeof *c->results;
    b->f.output[0].at = c->results;
}

/* Runs the chain over the results of an M-block, a row of pixels at a time. */
static unsigned end_chain(const job *j, const mblock *b, chained *c, ptrdiff_t channel,
                          ptrdiff_t channels)
{
    ptrdiff_t pitch = j->step->tiling.pitch, width = j->step->output[0].w;
    ptrdiff_t at = b->first * PQC_TILE, end = at + b->tiles * PQC_TILE;
    pqc_results r = {.n = b->image, .channel = channel, .channels = (int)channels};
    float *results = c->results;
    unsigned flags = 0;
    end = pqc_min(end, j->step->output[0].h * pitch);
    for (; at < end; at += pitch - r.x) {
        r.y = at / pitch;
        r.x = at % pitch;
        r.pixels = (int)pqc_clamp(width - r.x, 0, end - at);
        flags |= pqc_tail_chain(&c->tail, &r, results);
        results += r.pixels * channels;
    }
    return flags;
}

static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    const pqc_weights_shape *shape = &j->step->weights->shape;
    mblock b;
    chained c;
    pqc_tail_begin(&c.tail, j->step, j->buffers);
    pqc_tile_pending pending;
    b.number = b.image = -1;
    pending.turn = 0;
    pending.to = NULL;
    pending.flags = 0;
    ahead next = ahead_of(j, begin, end);
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
        ptrdiff_t pair = first, n = 0, channel = PQC_TILE_PAIR * first;
        ptrdiff_t channels = pqc_min(PQC_TILE_PAIR * pairs, shape->out - channel);
        channel += group * shape->out;
        if (j->step->chain_length)
            begin_chain(&b, &c, channel, channels);
        for (ptrdiff_t at = 0; at < pairs * rows; at++) {
            pqc_tile_weights weights = weights_of(j, group, pair);
            next.first &= i == begin && n == 0;
            fetch_ahead(j, &b, group, pair, n, &next, &weights);
            pqc_tile_pixels pixels = b.pixels[n];
            pixels.tile[0] += group * shape->in;
            pixels.tile[1] += group * shape->in;
            j->kernels->multiply(&pixels, &weights, &b.results[n], &pending);
            if (j->ahead && ++n == rows) {
                n = 0;
                pair++;
            } else if (!j->ahead && ++pair == first + pairs) {
                pair = first;
                n++;
            }
        }
        if (j->step->chain_length) {
            j->kernels->flush(&pending);
            pending.flags |= end_chain(j, &b, &c, channel, channels);
        }
    }
    j->kernels->flush(&pending);
    j->kernels->end();
    atomic_fetch_or_explicit(&j->flags, pending.flags, memory_order_relaxed);
}

unsigned pqc_conv_tiles_run(const pqc_step *s, char *const *buffers, const pqc_igemm_nhwc *kernels)
{
    const pqc_weights *w = s->weights;
    job j = {.step = s, .buffers = buffers, .kernels = kernels};
    split(&j);
    j.tasks = j.parts * s->input.n * w->shape.groups * j.mblocks;
    ptrdiff_t results = s->input.n * w->shape.groups * w->padded_out * s->tiling.tiles * PQC_TILE;
    pqc_parallel_tasks(j.tasks, results * (4 * w->k + MACS_PER_RESULT), GRAIN, run_tasks, &j);
    return atomic_load(&j.flags);
}
