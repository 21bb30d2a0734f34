#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

/* A patch is a run of tiles whose transformed inputs stay in the second cache while all output channels pass over them,
 * 16 at a time.  The weights are transformed anew for each patch: the more tiles it has, the less that costs.  */
enum { PATCH_WORDS = 8192, LEAST_PATCH = 8, MOST_PATCH = 96, STEP_QUADS = 64, STRIP = 32 };

/* Less than this, and the transformations cost more than they save. */
enum { LEAST_CHANNELS = 16, LEAST_TILES = 8 };

typedef struct {
    ptrdiff_t across, tiles, patches,
        most;                /* tiles in a row of them, in all, in the largest patch */
    ptrdiff_t blocks, parts; /* 16 output channels each, and in how many tasks */
    ptrdiff_t v_words, u_words, v_pitch, m_pitch;
} layout;

static ptrdiff_t divided_up(ptrdiff_t n, ptrdiff_t by)
{
    return (n + by - 1) / by;
}

static ptrdiff_t clamped(ptrdiff_t n, ptrdiff_t low, ptrdiff_t high)
{
    return n < low ? low : n > high ? high : n;
}

static layout layout_of(const pqc_conv_plan *plan, const pqc_conv_view *view)
{
    layout l = {.across = divided_up(view->axis[2].out, 2),
                .blocks = plan->lanes / PQC_WINOGRAD_CHANNELS};
    ptrdiff_t quads = view->quads;
    l.tiles = l.across * divided_up(view->axis[1].out, 2);
    l.patches = divided_up(l.tiles, clamped(PATCH_WORDS / (4 * quads), LEAST_PATCH, MOST_PATCH));
    l.most = divided_up(l.tiles, l.patches);
    l.parts = clamped(8 / (l.patches * plan->shape.groups), 1, divided_up(l.blocks, 4));
    l.v_pitch = l.most + PQC_WINOGRAD_SPARE;
    l.m_pitch =
        l.most | 1; /* a power of two would put all positions into the same place of the cache */
    l.v_words = (PQC_WINOGRAD_POSITIONS * quads * l.v_pitch * 4 + 31) & ~(ptrdiff_t)31;
    l.u_words = PQC_WINOGRAD_POSITIONS * pqc_winograd_weights(pqc_least(quads, STEP_QUADS));
    return l;
}

static bool is_square(const pqc_conv_axis *a)
{
    return a->kernel == 3 && a->stride == 1 && a->dilation == 1;
}

static bool suits(const pqc_conv_plan *plan, const pqc_conv_view *view)
{
    const pqc_conv_shape *shape = &plan->shape;
    const pqc_conv_axis *z = &shape->axis[0];
    bool flat = z->kernel == 1 && z->before == 0 && view->axis[0].in == 1 && view->axis[0].out == 1;
    if (shape->transposed || shape->columns || plan->parts != 1 || !flat ||
        !is_square(&shape->axis[1]) || !is_square(&shape->axis[2]) || shape->in < LEAST_CHANNELS ||
        shape->out < LEAST_CHANNELS || !pqc_winograd_fits(view->quads * 4))
        return false;
    ptrdiff_t tiles = divided_up(view->axis[1].out, 2) * divided_up(view->axis[2].out, 2);
    return tiles >= LEAST_TILES && 3 * view->outputs >= 8 * tiles;
}

ptrdiff_t pqc_conv_winograd_bytes(const pqc_conv_plan *plan, const pqc_conv_view *view)
{
    if (!suits(plan, view))
        return 0;
    layout l = layout_of(plan, view);
    ptrdiff_t products = PQC_WINOGRAD_POSITIONS * l.m_pitch * PQC_WINOGRAD_CHANNELS;
    return pqc_aligned(2 * (l.v_words + l.u_words) + 4 * products);
}

typedef struct {
    const pqc_conv_work *work;
    const pqc_winograd *kernels;
    layout l;
} job;

/* One patch of one group, with memory of its own. */
typedef struct {
    const job *job;
    ptrdiff_t group, first, tiles;
    int16_t *v, *u;
    int32_t *m;
} patch;

static void transform(const patch *p)
{
    const pqc_conv_view *view = p->job->work->view;
    pqc_winograd_image image = {.x = p->job->work->bytes + p->group * view->quads * view->plane * 4,
                                .quads = view->quads,
                                .plane = view->plane * 4,
                                .row = view->axis[2].size * 4,
                                .rows = view->axis[1].size,
                                .across = p->job->l.across};
    p->job->kernels->inputs(&image, p->first, p->tiles, p->job->l.v_pitch, p->v);
}

/* The products of 16 output channels. */
static void multiply(const patch *p, ptrdiff_t block)
{
    const pqc_conv_work *w = p->job->work;
    const layout *l = &p->job->l;
    ptrdiff_t quads = w->view->quads, first = block / 4;
    ptrdiff_t w_step = PQC_LANES * pqc_conv_block_vectors(w->plan, first) * 4;
    const int8_t *weights =
        w->piece->w + (p->group * w->plan->lanes + PQC_BLOCK_CHANNELS * first) * w->piece->k * 4 +
        block % 4 * PQC_WINOGRAD_CHANNELS * 4;
    for (ptrdiff_t quad = 0; quad < quads; quad += STEP_QUADS) {
        ptrdiff_t now = pqc_least(quads - quad, STEP_QUADS);
        p->job->kernels->weights(weights + quad * 9 * w_step, w_step, now, p->u);
        p->job->kernels->products(p->v + quad * l->v_pitch * 4, quads, l->v_pitch, p->u, now,
                                  p->tiles, quad > 0, p->m, l->m_pitch);
    }
}

/* `tiles` tiles from number `from` of the patch on, which lie beside each other. */
static void put(const patch *p, ptrdiff_t block, ptrdiff_t from, ptrdiff_t tiles)
{
    _Alignas(64) int32_t sums[2][2 * STRIP * PQC_WINOGRAD_CHANNELS];
    const pqc_conv_work *w = p->job->work;
    const layout *l = &p->job->l;
    ptrdiff_t width = w->view->axis[2].out, height = w->view->axis[1].out;
    ptrdiff_t channel = PQC_WINOGRAD_CHANNELS * block, lane = p->group * w->plan->lanes + channel;
    ptrdiff_t row = 2 * ((p->first + from) / l->across), x = 2 * ((p->first + from) % l->across);
    const int32_t *start = w->call->q.zero != 0 ? w->piece->start + lane : w->plan->zeros + channel;
    p->job->kernels->sums(p->m + from * PQC_WINOGRAD_CHANNELS, l->m_pitch, tiles, start, sums[0],
                          sums[1]);
    ptrdiff_t channels = pqc_least(w->plan->shape.out - channel, PQC_WINOGRAD_CHANNELS);
    channel += p->group * w->plan->shape.out;
    for (ptrdiff_t i = 0; i < pqc_least(2, height - row); i++)
        pqc.dequantize_columns((pqc_sums){sums[i], PQC_WINOGRAD_CHANNELS,
                                          (int)pqc_least(2 * tiles, width - x), (int)channels},
                               w->scale + channel, w->bias + channel,
                               w->y + channel * w->view->outputs + (row + i) * width + x,
                               w->view->outputs);
}

static void put_block(const patch *p, ptrdiff_t block)
{
    ptrdiff_t across = p->job->l.across;
    for (ptrdiff_t done = 0; done < p->tiles;) {
        ptrdiff_t left = pqc_least(across - (p->first + done) % across, p->tiles - done);
        ptrdiff_t now = pqc_least(left, STRIP);
        put(p, block, done, now);
        done += now;
    }
}

/* Tasks are numbered group, patch, part of the output channels with the part fastest. */
static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const layout *l = &j->l;
    pqc_slots *scratch = j->work->scratch;
    ptrdiff_t slot = pqc_slots_take(scratch), transformed = -1;
    patch p = {.job = j, .v = pqc_slots_memory(scratch, slot)};
    p.u = p.v + l->v_words;
    p.m = (int32_t *)(void *)(p.u + l->u_words);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t number = i / l->parts, part = i % l->parts;
        if (number != transformed) {
            p.group = number / l->patches;
            p.first = pqc_tile_begin(l->tiles, l->patches, number % l->patches);
            p.tiles = pqc_tile_begin(l->tiles, l->patches, number % l->patches + 1) - p.first;
            transform(&p);
            transformed = number;
        }
        for (ptrdiff_t block = pqc_tile_begin(l->blocks, l->parts, part);
             block < pqc_tile_begin(l->blocks, l->parts, part + 1); block++) {
            multiply(&p, block);
            put_block(&p, block);
        }
    }
    pqc_slots_give(scratch, slot);
}

bool pqc_conv_winograd(const pqc_conv_work *w)
{
    if (w->scratch->count == 0)
        return false;
    job j = {w, pqc.winograd, layout_of(w->plan, w->view)};
    if (j.kernels == NULL)
        return false;
    ptrdiff_t tasks = w->plan->shape.groups * j.l.patches * j.l.parts;
    ptrdiff_t products = PQC_WINOGRAD_POSITIONS * j.l.tiles * w->view->quads * 4 * w->plan->lanes *
                         w->plan->shape.groups;
    pqc_parallel(tasks, PQC_PRODUCTS_GRAIN / (products / tasks + 1) + 1, run_tasks, &j);
    return true;
}
