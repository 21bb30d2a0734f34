/* 3 x 3 convolutions by Winograd's F(2 x 2) or F(4 x 4) on exact integers: a patch of tiles times 16 output channels
 * at a time. */
#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

/* A patch is a run of tiles whose transformed inputs stay in L2 while all output channels pass over them, 16 at a
 * time.  Each patch transforms the weights again, so larger patches spend less time on that. */
enum { MIN_PATCH = 8, MAX_PATCH = 96, MAX_K_BLOCKS = 64 };

enum { PANEL_PIXELS = 64 }; /* pixels of an output row that are requantised at a time */

typedef struct {
    /* outputs along a side of a tile, 2 or 4; elements of its transform, 16 or 36 */
    int side, positions;
    ptrdiff_t across, tiles; /* tiles in a row of tiles, and in all */
    ptrdiff_t patches, most; /* number of patches; tiles of the largest */
    ptrdiff_t blocks, parts; /* blocks of 16 output channels; tasks they are divided into */
    ptrdiff_t v_words, u_words, v_stride, m_stride;
} layout;

static layout layout_of(const pqc_packed_weights *packed, const pqc_conv_view *view, int side)
{
    layout l = {.side = side, .positions = (side + 2) * (side + 2)};
    ptrdiff_t c4_blocks = view->c4_blocks,
              tile_bytes = l.positions * c4_blocks * 4 * (ptrdiff_t)sizeof(int16_t);
    l.across = pqc_div_round_up(view->axis[2].out, side);
    l.tiles = l.across * pqc_div_round_up(view->axis[1].out, side);
    l.patches = pqc_div_round_up(
        l.tiles, pqc_clamp(PQC_L2_WINOGRAD_PATCH / tile_bytes, MIN_PATCH, MAX_PATCH));
    l.most = pqc_div_round_up(l.tiles, l.patches);
    l.blocks = packed->padded_out / PQC_WINOGRAD_CHANNELS;
    l.parts = pqc_clamp(8 / (l.patches * packed->shape.groups), 1, pqc_div_round_up(l.blocks, 4));
    l.v_stride = l.most + PQC_WINOGRAD_SPARE;
    l.m_stride = l.most | 1; /* odd, so that the positions do not all map to the same cache set */
    l.v_words = (l.positions * c4_blocks * l.v_stride * 4 + 31) & ~(ptrdiff_t)31;
    l.u_words = l.positions * pqc_winograd_weights(pqc_min(c4_blocks, MAX_K_BLOCKS));
    return l;
}

static bool is_square(const pqc_conv_axis *a)
{
    return a->kernel == 3 && a->stride == 1 && a->dilation == 1;
}

static bool suits(const pqc_packed_weights *packed, const pqc_conv_view *view)
{
    const pqc_conv_shape *shape = &packed->shape;
    return pqc_conv_is_flat(shape, view) && is_square(&shape->axis[1]) &&
           is_square(&shape->axis[2]) && !shape->transposed && !shape->kw4 &&
           packed->weight_planes == 1 && packed->sub->k_splits == 1;
}

/* Cost of a group in AVX2 vector operations, two of which make 16 products. */
static double cost_of(const layout *l, const pqc_packed_weights *packed, const pqc_conv_view *view)
{
    static const struct {
        /* per c4 block of a tile, per 4 x 16 weights, per tile and 16 output channels */
        double c4, weights, sums;
    } costs[] = {{20, 280, 140}, {80, 560, 620}};
    int i = l->side == 4;
    double c4_blocks = (double)view->c4_blocks,
           blocks = (double)(packed->padded_out / PQC_WINOGRAD_CHANNELS);
    double tile =
        c4_blocks * costs[i].c4 + blocks * costs[i].sums + c4_blocks * blocks * 8 * l->positions;
    return (double)l->tiles * tile + (double)l->patches * c4_blocks * blocks * costs[i].weights;
}

static ptrdiff_t tasks_of(const layout *l, const pqc_packed_weights *packed)
{
    return packed->shape.groups * l->patches * l->parts;
}

static ptrdiff_t bytes_of(const layout *l)
{
    ptrdiff_t products = l->positions * l->m_stride * PQC_WINOGRAD_CHANNELS;
    return pqc_line_aligned(2 * (l->v_words + l->u_words) + 4 * products);
}

/* the estimate counts operations; Winograd also has more loads and stores */
static const double WORTH_IT = 0.85;

int pqc_conv_winograd_side(const pqc_packed_weights *packed, const pqc_conv_view *view)
{
    double outputs = (double)view->outputs * (double)view->c4_blocks * (double)packed->padded_out;
    double least = WORTH_IT * outputs / 16 * 9 * 8; /* operations of the direct algorithm */
    int best = 0;
    for (int side = 2; side <= 4 && suits(packed, view); side += 2) {
        layout l = layout_of(packed, view, side);
        double cost = cost_of(&l, packed, view);
        if (cost < least && pqc_winograd_fits(side, packed->max_weight_sum) &&
            bytes_of(&l) <= PQC_L2_WINOGRAD_THREAD) {
            least = cost;
            best = side;
        }
    }
    return best;
}

ptrdiff_t pqc_conv_winograd_bytes(const pqc_packed_weights *packed, const pqc_conv_view *view,
                                  int side)
{
    layout l = layout_of(packed, view, side);
    return bytes_of(&l);
}

ptrdiff_t pqc_conv_winograd_tasks(const pqc_packed_weights *packed, const pqc_conv_view *view,
                                  int side)
{
    layout l = layout_of(packed, view, side);
    return tasks_of(&l, packed);
}

typedef struct {
    const pqc_conv_work *work;
    const pqc_winograd *kernels;
    layout l;
} job;

/* One patch of one group, with its own memory. */
typedef struct {
    const job *job;
    ptrdiff_t group, first, tiles;
    int16_t *v, *u;
    int32_t *m;
} patch;

static void transform(const patch *p)
{
    const pqc_conv_view *view = p->job->work->view;
    pqc_winograd_image image = {.x = p->job->work->bytes +
                                     p->group * view->c4_blocks * view->block_stride * 4,
                                .c4_blocks = view->c4_blocks,
                                .block_stride = view->block_stride * 4,
                                .row = view->axis[2].size * 4,
                                .rows = view->axis[1].size,
                                .across = p->job->l.across};
    p->job->kernels->inputs(&image, p->first, p->tiles, p->job->l.v_stride, p->v);
}

/* Multiplies a patch with 16 output channels. */
static void multiply(const patch *p, ptrdiff_t block)
{
    const pqc_conv_work *w = p->job->work;
    const layout *l = &p->job->l;
    ptrdiff_t c4_blocks = w->view->c4_blocks, first = block / 4;
    pqc_winograd_operands operands = {l->positions, p->v, c4_blocks,
                                      l->v_stride,  p->u, l->m_stride};
    ptrdiff_t k_stride = PQC_LANES * pqc_panel_vectors(w->packed, first) * 4;
    const int8_t *weights = w->sub->w +
                            (p->group * w->packed->padded_out + PQC_NR * first) * w->sub->k * 4 +
                            block % 4 * PQC_WINOGRAD_CHANNELS * 4;
    for (ptrdiff_t c4 = 0; c4 < c4_blocks; c4 += MAX_K_BLOCKS) {
        ptrdiff_t now = pqc_min(c4_blocks - c4, MAX_K_BLOCKS);
        /* The weights are ordered by kernel row: only such layers come here. */
        p->job->kernels->weights(weights + c4 * 3 * k_stride, k_stride, c4_blocks * 3 * k_stride,
                                 now, p->u);
        operands.v = p->v + c4 * l->v_stride * 4;
        p->job->kernels->products(&operands, now, p->tiles, c4 > 0, p->m);
    }
}

/* Stores `tiles` neighbouring tiles of a row, from tile number `from` of the patch. */
static void store(const patch *p, ptrdiff_t block, ptrdiff_t from, ptrdiff_t tiles)
{
    _Alignas(64) int32_t sums[4][PANEL_PIXELS * PQC_WINOGRAD_CHANNELS];
    const pqc_conv_work *w = p->job->work;
    const layout *l = &p->job->l;
    ptrdiff_t width = w->view->axis[2].out, height = w->view->axis[1].out;
    ptrdiff_t channel = PQC_WINOGRAD_CHANNELS * block,
              lane = p->group * w->packed->padded_out + channel;
    ptrdiff_t row = l->side * ((p->first + from) / l->across);
    ptrdiff_t x = l->side * ((p->first + from) % l->across);
    const int32_t *start =
        w->call->q.zero != 0 ? w->sub->compensation + lane : w->packed->no_compensation + channel;
    p->job->kernels->sums(p->m + from * PQC_WINOGRAD_CHANNELS, l->m_stride, tiles, start, sums[0],
                          PANEL_PIXELS * PQC_WINOGRAD_CHANNELS);
    ptrdiff_t channels = pqc_min(w->packed->shape.out - channel, PQC_WINOGRAD_CHANNELS);
    channel += p->group * w->packed->shape.out;
    pqc_output_f32 to = pqc_output_f32_from(&w->to, channel);
    to.y += row * width + x;
    for (ptrdiff_t i = 0; i < pqc_min(l->side, height - row); i++, to.y += width)
        pqc.requantize_nchw((pqc_sums){sums[i], PQC_WINOGRAD_CHANNELS,
                                       (int)pqc_min(l->side * tiles, width - x), (int)channels},
                            &to);
}

static void store_block(const patch *p, ptrdiff_t block)
{
    const layout *l = &p->job->l;
    for (ptrdiff_t done = 0; done < p->tiles;) {
        ptrdiff_t left = pqc_min(l->across - (p->first + done) % l->across, p->tiles - done);
        ptrdiff_t now = pqc_min(left, PANEL_PIXELS / l->side);
        store(p, block, done, now);
        done += now;
    }
}

/* Tasks are numbered (group, patch, part of the output channels), part fastest. */
static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const layout *l = &j->l;
    pqc_scratch_pool *scratch = j->work->scratch;
    ptrdiff_t taken = pqc_scratch_pool_acquire(scratch), transformed = -1;
    patch p = {.job = j, .v = pqc_scratch_pool_at(scratch, taken)};
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
            store_block(&p, block);
        }
    }
    pqc_scratch_pool_release(scratch, taken);
}

bool pqc_conv_winograd(const pqc_conv_work *w)
{
    const pqc_winograd *kernels = pqc.winograd;
    int side = w->call->side;
    if (side == 0 || kernels == NULL)
        return false;
    job j = {w, &kernels[side == 4], layout_of(w->packed, w->view, side)};
    ptrdiff_t tasks = tasks_of(&j.l, w->packed);
    ptrdiff_t products = j.l.positions * j.l.tiles * w->view->c4_blocks * 4 *
                         w->packed->padded_out * w->packed->shape.groups;
    pqc_parallel_tasks(tasks, products, PQC_MAC_GRAIN, run_tasks, &j);
    return true;
}
