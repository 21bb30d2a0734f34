/* 3 x 3 convolutions of programs by Winograd's algorithm on exact integers (winograd_nhwc.h): a patch of tiles, whose
 * transformed inputs and products stay in L2, at a time. */
#include "cache_sizes.h"
#include "conv_tail.h"
#include "conv_ways.h"
#include "dispatch.h"
#include "igemm_mblock.h"
#include "parallel.h"
#include "scratch_pool.h"
#include "winograd_weights.h"

#include <stdatomic.h>

enum {
    SIDE = PQC_WINOGRAD_SIDE,
    POSITIONS = PQC_WINOGRAD_POSITIONS,
    UNIT = 6, /* tiles of a patch: a multiple of those that bodies of four vectors take */
    MAX_TILES = 48,
    WORDS = 32, /* channels that are transformed together */
    RUN = 4,    /* tiles whose sums are finished together */
};

/* Words between positions: an odd number of cache lines, so that they do not map to the same set. */
static ptrdiff_t v_position_of(const pqc_weights *w, ptrdiff_t tiles)
{
    return tiles * pqc_winograd_nhwc_k(w->shape.in) + PQC_CACHE_LINE / 2;
}

static ptrdiff_t m_position_of(const pqc_weights *w, ptrdiff_t tiles)
{
    return tiles * pqc_min(w->padded_out, PQC_NR) + PQC_CACHE_LINE / 4;
}

static ptrdiff_t v_bytes_of(const pqc_weights *w, ptrdiff_t tiles)
{
    return POSITIONS * v_position_of(w, tiles) * (ptrdiff_t)sizeof(int16_t);
}

static ptrdiff_t bytes_of(const pqc_weights *w, ptrdiff_t tiles)
{
    return v_bytes_of(w, tiles) + POSITIONS * m_position_of(w, tiles) * (ptrdiff_t)sizeof(int32_t);
}

static bool is_plain(const pqc_window *w)
{
    return w->kernel == 3 && w->stride == 1 && w->dilation == 1;
}

static ptrdiff_t tiles_across(const pqc_step *s)
{
    return pqc_div_round_up(s->output[0].w, SIDE);
}

static ptrdiff_t tiles_of(const pqc_step *s)
{
    return pqc_div_round_up(s->output[0].h, SIDE) * tiles_across(s);
}

/* Tiles of a patch that fits into L2. */
static ptrdiff_t patch_of(const pqc_step *s)
{
    ptrdiff_t most = PQC_L2_WINOGRAD_NHWC / bytes_of(s->weights, 1) / UNIT * UNIT;
    return pqc_min(pqc_clamp(most, UNIT, MAX_TILES), pqc_round_up(tiles_of(s), UNIT));
}

/* Estimates, in instructions.  Beside those that multiply count the transforms, and lines of weights, which each patch reads:
 * the first one from far away, the others too unless they stay in L2.  The numbers were measured on Zen 5. */
static bool is_faster(const pqc_step *s, ptrdiff_t patch, const pqc_winograd_nhwc *kernels)
{
    enum { INPUTS = 200, SUMS = 200, NEAR_LINE = 2, FAR_LINE = 7 };
    static const double LOST = 1.07, DIRECT_LOST = 1.06, WORTH_IT = 0.93;
    const pqc_weights *w = s->weights;
    ptrdiff_t vectors = w->padded_out / PQC_LANES, tiles = tiles_of(s);
    ptrdiff_t transforms = pqc_winograd_nhwc_k(w->shape.in) / WORDS * INPUTS + vectors * SUMS;
    double halves = (double)pqc_div_round_up(w->shape.out, PQC_LANES / 2);
    double lines = (double)(POSITIONS * pqc_div_round_up(w->shape.in, 2) * vectors);
    double tile = lines * kernels->product * LOST + (double)(transforms * kernels->transforms);
    double line = lines * PQC_CACHE_LINE > PQC_L2_WINOGRAD_WEIGHTS ? FAR_LINE : NEAR_LINE;
    double read = lines * (FAR_LINE + (double)pqc_div_round_up(tiles - patch, patch) * line);
    double direct = (double)(s->output[0].h * s->output[0].w * w->k * kernels->direct) * halves /
                    2 * DIRECT_LOST;
    return (double)tiles * tile + read < direct * WORTH_IT;
}

pqc_patches pqc_patches_of(const pqc_step *s, const pqc_winograd_nhwc *kernels)
{
    const pqc_weights *w = s->weights;
    pqc_patches none = {0};
    if (w->shape.depthwise || w->shape.groups > 1 || !is_plain(&s->y) || !is_plain(&s->x) ||
        !pqc_winograd_fits(SIDE, w->largest_sum))
        return none;
    ptrdiff_t tiles = patch_of(s);
    if (!is_faster(s, tiles, kernels))
        return none;
    ptrdiff_t most = s->output[0].n * pqc_div_round_up(tiles_of(s), UNIT); /* see patches_of */
    ptrdiff_t threads = pqc_max(pqc_available_cpus(), pqc_get_num_threads());
    return (pqc_patches){tiles, pqc_clamp(threads, 1, pqc_min(most, PQC_MAX_THREADS))};
}

ptrdiff_t pqc_patches_workspace(const pqc_step *s)
{
    return s->patches.blocks * pqc_line_aligned(bytes_of(s->weights, s->patches.tiles));
}

/* Tasks are numbered (image, patch), patch fastest. */
typedef struct {
    const pqc_step *step;
    char *const *buffers;
    const pqc_winograd_nhwc *kernels;
    ptrdiff_t tiles, patches; /* per image */
    pqc_winograd_nhwc_image image;
    pqc_scratch_pool scratch;
    atomic_uint flags;
} job;

/* Tiles of an image, with their operands. */
typedef struct {
    ptrdiff_t n, first, tiles;
    int16_t *v;
    int32_t *m;
} patch;

/* Finishes the sums of neighbouring tiles, from number `from` of the patch, of a panel's channels from `channel`. */
static unsigned finish(const job *j, const patch *p, ptrdiff_t from, ptrdiff_t tiles,
                       ptrdiff_t channel, pqc_tail *tail)
{
    _Alignas(64) int32_t acc[SIDE][RUN * SIDE * PQC_NR];
    const pqc_weights *w = j->step->weights;
    const pqc_image *out = &j->step->output[0];
    ptrdiff_t width = pqc_min(w->padded_out - channel, PQC_NR), across = j->image.across;
    ptrdiff_t y = (p->first + from) / across * SIDE, x = (p->first + from) % across * SIDE;
    pqc_results r = {.n = p->n,
                     .x = x,
                     .channel = channel,
                     .pixels = (int)pqc_min(SIDE * tiles, out->w - x),
                     .channels = (int)pqc_min(w->shape.out - channel, PQC_NR)};
    unsigned flags = 0;
    j->kernels->sums(p->m + from * width, m_position_of(w, j->step->patches.tiles),
                     (int)(width / PQC_LANES), tiles, w->compensation + channel, acc[0],
                     RUN * SIDE * PQC_NR);
    for (ptrdiff_t i = 0; i < pqc_min(SIDE, out->h - y); i++) {
        r.y = y + i;
        flags |= pqc_tail_finish(tail, &r, acc[i], width);
    }
    return flags;
}

/* Multiplies a patch with a panel. */
static unsigned run_panel(const job *j, const patch *p, ptrdiff_t channel, pqc_tail *tail)
{
    const pqc_weights *w = j->step->weights;
    ptrdiff_t most = j->step->patches.tiles, across = j->image.across;
    pqc_winograd_nhwc_operands o = {
        .v = p->v,
        .u = j->step->winograd + pqc_winograd_weights_panel(w, channel),
        .v_position = v_position_of(w, most),
        .m_position = m_position_of(w, most),
        .k = pqc_winograd_nhwc_k(w->shape.in),
        .pairs = pqc_div_round_up(w->shape.in, 2),
        .vectors = (int)(pqc_min(w->padded_out - channel, PQC_NR) / PQC_LANES)};
    unsigned flags = 0;
    j->kernels->products(&o, p->tiles, p->m);
    for (ptrdiff_t done = 0, now; done < p->tiles; done += now) {
        now = pqc_min(pqc_min(across - (p->first + done) % across, p->tiles - done), RUN);
        flags |= finish(j, p, done, now, channel, tail);
    }
    return flags;
}

static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    const pqc_step *s = j->step;
    ptrdiff_t taken = pqc_scratch_pool_acquire(&j->scratch);
    patch p = {.v = pqc_scratch_pool_at(&j->scratch, taken)};
    p.m = (int32_t *)(void *)((char *)p.v + v_bytes_of(s->weights, s->patches.tiles));
    pqc_tail tail;
    unsigned flags = 0;
    pqc_tail_begin(&tail, s, j->buffers);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t number = i % j->patches;
        pqc_winograd_nhwc_image image = j->image;
        p.n = i / j->patches;
        p.first = pqc_part_begin(j->tiles, j->patches, number);
        p.tiles = pqc_part_begin(j->tiles, j->patches, number + 1) - p.first;
        image.x += p.n * pqc_image_size(&s->input);
        j->kernels->inputs(&image, p.first, p.tiles, v_position_of(s->weights, s->patches.tiles),
                           p.v);
        for (ptrdiff_t channel = 0; channel < s->weights->shape.out; channel += PQC_NR)
            flags |= run_panel(j, &p, channel, &tail);
    }
    pqc_scratch_pool_release(&j->scratch, taken);
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

/* As many patches as keep all threads equally busy, none larger than planned. */
static ptrdiff_t patches_of(const pqc_step *s, ptrdiff_t tiles)
{
    ptrdiff_t threads = pqc_get_num_threads(), images = s->output[0].n;
    ptrdiff_t patches = pqc_div_round_up(tiles, s->patches.tiles);
    ptrdiff_t even = images % threads == 0 ? patches : pqc_round_up(patches, threads);
    return pqc_min(even, pqc_div_round_up(tiles, UNIT));
}

unsigned pqc_conv_winograd_run(const pqc_step *s, char *const *buffers,
                               const pqc_winograd_nhwc *kernels)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    job j = {.step = s, .buffers = buffers, .kernels = kernels, .tiles = tiles_of(s)};
    j.patches = patches_of(s, j.tiles);
    j.image = (pqc_winograd_nhwc_image){.x = (const uint8_t *)buffers[in->buffer] + in->offset +
                                             pqc_image_at(in, 0, -s->y.before, -s->x.before),
                                        .row = pqc_image_row(in),
                                        .pixel = in->codes.pixel,
                                        .rows = out->h + 2,
                                        .columns = out->w + 2,
                                        .channels = s->weights->shape.in,
                                        .across = tiles_across(s)};
    pqc_scratch_pool_init(&j.scratch, buffers[0] + s->workspace, s->patches.blocks,
                          pqc_line_aligned(bytes_of(s->weights, s->patches.tiles)));
    ptrdiff_t products = out->n * j.tiles * POSITIONS * pqc_winograd_nhwc_k(s->weights->shape.in) *
                         s->weights->padded_out;
    pqc_parallel_tasks(out->n * j.patches, products, PQC_MAC_GRAIN, run_tasks, &j);
    return atomic_load(&j.flags);
}
