#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

/* A patch is a run of tiles whose transformed inputs stay in the second cache while all output channels pass over them,
 * 16 at a time.  The weights are transformed anew for each patch: the more tiles it has, the less that costs. */
enum { PATCH_BYTES = 1 << 18, LEAST_PATCH = 8, MOST_PATCH = 96, STEP_QUADS = 64 };

/* Layers for which a thread would need more memory, with very many channels, go another way. */
enum { MOST_BYTES = 768 << 10 };

enum { STRIP_PIXELS = 64 }; /* of a row, dequantised at a time */

typedef struct {
    int side, positions;     /* of a tile: 2 or 4, and 16 or 36 */
    ptrdiff_t across, tiles; /* tiles in a row of them, and in all */
    ptrdiff_t patches, most; /* and tiles in the largest patch */
    ptrdiff_t blocks, parts; /* 16 output channels each, and in how many tasks */
    ptrdiff_t v_words, u_words, v_pitch, m_pitch;
} layout;

static layout layout_of(const pqc_conv_plan *plan, const pqc_conv_view *view, int side)
{
    layout l = {.side = side, .positions = (side + 2) * (side + 2)};
    ptrdiff_t quads = view->quads,
              tile_bytes = l.positions * quads * 4 * (ptrdiff_t)sizeof(int16_t);
    l.across = pqc_divided_up(view->axis[2].out, side);
    l.tiles = l.across * pqc_divided_up(view->axis[1].out, side);
    l.patches =
        pqc_divided_up(l.tiles, pqc_clamped(PATCH_BYTES / tile_bytes, LEAST_PATCH, MOST_PATCH));
    l.most = pqc_divided_up(l.tiles, l.patches);
    l.blocks = plan->lanes / PQC_WINOGRAD_CHANNELS;
    l.parts = pqc_clamped(8 / (l.patches * plan->shape.groups), 1, pqc_divided_up(l.blocks, 4));
    l.v_pitch = l.most + PQC_WINOGRAD_SPARE;
    l.m_pitch = l.most | 1; /* else all positions might lie in the same place of the cache */
    l.v_words = (l.positions * quads * l.v_pitch * 4 + 31) & ~(ptrdiff_t)31;
    l.u_words = l.positions * pqc_winograd_weights(pqc_least(quads, STEP_QUADS));
    return l;
}

static bool is_square(const pqc_conv_axis *a)
{
    return a->kernel == 3 && a->stride == 1 && a->dilation == 1;
}

static bool suits(const pqc_conv_plan *plan, const pqc_conv_view *view)
{
    const pqc_conv_shape *shape = &plan->shape;
    return pqc_conv_is_flat(shape, view) && is_square(&shape->axis[1]) &&
           is_square(&shape->axis[2]) && !shape->transposed && !shape->columns &&
           plan->parts == 1 && plan->piece->chunks == 1;
}

/* Vector operations of AVX2 for a group, of which 2 make 16 products. */
static double cost_of(const layout *l, const pqc_conv_plan *plan, const pqc_conv_view *view)
{
    static const struct {
        double quad, weights, sums; /* of a tile, of 4 x 16 channels, of 16 channels of a tile */
    } costs[] = {{20, 280, 140}, {80, 560, 620}};
    int i = l->side == 4;
    double quads = (double)view->quads, blocks = (double)(plan->lanes / PQC_WINOGRAD_CHANNELS);
    double tile =
        quads * costs[i].quad + blocks * costs[i].sums + quads * blocks * 8 * l->positions;
    return (double)l->tiles * tile + (double)l->patches * quads * blocks * costs[i].weights;
}

static ptrdiff_t tasks_of(const layout *l, const pqc_conv_plan *plan)
{
    return plan->shape.groups * l->patches * l->parts;
}

static ptrdiff_t bytes_of(const layout *l)
{
    ptrdiff_t products = l->positions * l->m_pitch * PQC_WINOGRAD_CHANNELS;
    return pqc_aligned(2 * (l->v_words + l->u_words) + 4 * products);
}

static const double WORTH_IT = 0.85; /* of the operations: there are more loads and stores */

int pqc_conv_winograd_side(const pqc_conv_plan *plan, const pqc_conv_view *view)
{
    double outputs = (double)view->outputs * (double)view->quads * (double)plan->lanes;
    double least = WORTH_IT * outputs / 16 * 9 * 8; /* the operations of the definition */
    int best = 0;
    for (int side = 2; side <= 4 && suits(plan, view); side += 2) {
        layout l = layout_of(plan, view, side);
        double cost = cost_of(&l, plan, view);
        if (cost < least && pqc_winograd_fits(side, plan->heaviest) && bytes_of(&l) <= MOST_BYTES) {
            least = cost;
            best = side;
        }
    }
    return best;
}

ptrdiff_t pqc_conv_winograd_bytes(const pqc_conv_plan *plan, const pqc_conv_view *view, int side)
{
    layout l = layout_of(plan, view, side);
    return bytes_of(&l);
}

ptrdiff_t pqc_conv_winograd_tasks(const pqc_conv_plan *plan, const pqc_conv_view *view, int side)
{
    layout l = layout_of(plan, view, side);
    return tasks_of(&l, plan);
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
    pqc_winograd_operands operands = {l->positions, p->v, quads, l->v_pitch, p->u, l->m_pitch};
    ptrdiff_t w_step = PQC_LANES * pqc_conv_block_vectors(w->plan, first) * 4;
    const int8_t *weights =
        w->piece->w + (p->group * w->plan->lanes + PQC_BLOCK_CHANNELS * first) * w->piece->k * 4 +
        block % 4 * PQC_WINOGRAD_CHANNELS * 4;
    for (ptrdiff_t quad = 0; quad < quads; quad += STEP_QUADS) {
        ptrdiff_t now = pqc_least(quads - quad, STEP_QUADS);
        /* By rows of taps, as all layers are that come here. */
        p->job->kernels->weights(weights + quad * 3 * w_step, w_step, quads * 3 * w_step, now,
                                 p->u);
        operands.v = p->v + quad * l->v_pitch * 4;
        p->job->kernels->products(&operands, now, p->tiles, quad > 0, p->m);
    }
}

/* `tiles` tiles from number `from` of the patch on, which lie beside each other. */
static void put(const patch *p, ptrdiff_t block, ptrdiff_t from, ptrdiff_t tiles)
{
    _Alignas(64) int32_t sums[4][STRIP_PIXELS * PQC_WINOGRAD_CHANNELS];
    const pqc_conv_work *w = p->job->work;
    const layout *l = &p->job->l;
    ptrdiff_t width = w->view->axis[2].out, height = w->view->axis[1].out;
    ptrdiff_t channel = PQC_WINOGRAD_CHANNELS * block, lane = p->group * w->plan->lanes + channel;
    ptrdiff_t row = l->side * ((p->first + from) / l->across);
    ptrdiff_t x = l->side * ((p->first + from) % l->across);
    const int32_t *start = w->call->q.zero != 0 ? w->piece->start + lane : w->plan->zeros + channel;
    p->job->kernels->sums(p->m + from * PQC_WINOGRAD_CHANNELS, l->m_pitch, tiles, start, sums[0],
                          STRIP_PIXELS * PQC_WINOGRAD_CHANNELS);
    ptrdiff_t channels = pqc_least(w->plan->shape.out - channel, PQC_WINOGRAD_CHANNELS);
    channel += p->group * w->plan->shape.out;
    for (ptrdiff_t i = 0; i < pqc_least(l->side, height - row); i++)
        pqc.dequantize_columns(
            (pqc_sums){sums[i], PQC_WINOGRAD_CHANNELS, (int)pqc_least(l->side * tiles, width - x),
                       (int)channels},
            w->scale + channel, w->bias + channel,
            w->y + channel * w->view->outputs + (row + i) * width + x, w->view->outputs);
}

static void put_block(const patch *p, ptrdiff_t block)
{
    const layout *l = &p->job->l;
    for (ptrdiff_t done = 0; done < p->tiles;) {
        ptrdiff_t left = pqc_least(l->across - (p->first + done) % l->across, p->tiles - done);
        ptrdiff_t now = pqc_least(left, STRIP_PIXELS / l->side);
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
            p.first = pqc_part_begin(l->tiles, l->patches, number % l->patches);
            p.tiles = pqc_part_begin(l->tiles, l->patches, number % l->patches + 1) - p.first;
            transform(&p);
            transformed = number;
        }
        for (ptrdiff_t block = pqc_part_begin(l->blocks, l->parts, part);
             block < pqc_part_begin(l->blocks, l->parts, part + 1); block++) {
            multiply(&p, block);
            put_block(&p, block);
        }
    }
    pqc_slots_give(scratch, slot);
}

bool pqc_conv_winograd(const pqc_conv_work *w)
{
    const pqc_winograd *kernels = pqc.winograd;
    int side = w->call->side;
    if (side == 0 || kernels == NULL)
        return false;
    job j = {w, &kernels[side == 4], layout_of(w->plan, w->view, side)};
    ptrdiff_t tasks = tasks_of(&j.l, w->plan);
    ptrdiff_t products =
        j.l.positions * j.l.tiles * w->view->quads * 4 * w->plan->lanes * w->plan->shape.groups;
    pqc_parallel_tasks(tasks, products, PQC_PRODUCTS_GRAIN, run_tasks, &j);
    return true;
}
