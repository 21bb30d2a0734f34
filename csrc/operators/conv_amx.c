/* Quantised convolutions by AMX: an M-block of pixels times all output channels, 16 x 16 tiles of int32 at a time. */
#include "conv_work.h"
#include "parallel.h"

/* An M-block is multiplied with all output channels, 32 at a time.  Unless its c4 blocks come in equally spaced runs
 * of 16, its bytes are first gathered into a B panel.  The panel should stay in L1 if the weights stay in L2;
 * otherwise M-blocks are large, so that the weights are read few times. */
enum {
    MAX_MBLOCK_TILES = PQC_AMX_MAX_MC / PQC_AMX_SIDE,
    TASKS = 8 /* per image at least, if it has enough blocks */
};

/* Pixels are taken 16 at a time within spans.  A span is one z slice including its borders, whose sums are not
 * stored; in tap-packed layers it is a row.  If borders would be more than half, pixels are gathered one by one into
 * a single span. */
typedef struct {
    ptrdiff_t spans, length;     /* number of spans, and pixels of one */
    ptrdiff_t span_tiles, tiles; /* tiles of 16 pixels: in a span, in all spans */
    ptrdiff_t mblock, mblocks;   /* most tiles in an M-block; number of M-blocks */
    ptrdiff_t pairs, parts;      /* pairs of 16 output channels; tasks they are divided into */
    bool gathered;
    bool direct; /* tiles are loaded straight from the image, not from a panel */
} layout;

typedef struct {
    const pqc_conv_work *w;
    const pqc_amx_gemm *amx;
    layout l;
} job;

static layout layout_of(const pqc_packed_weights *packed, const pqc_conv_view *view,
                        const pqc_conv_range range[PQC_AXES], ptrdiff_t k)
{
    ptrdiff_t layers = range[0].count, rows = range[1].count, width = range[2].count;
    ptrdiff_t with_borders = (rows - 1) * pqc_conv_pitch(view, 1) + width;
    layout l = {.pairs = pqc_div_round_up(packed->shape.out, PQC_AMX_PAIR)};
    l.gathered = !packed->shape.kw4 && with_borders > 2 * rows * width;
    l.spans = l.gathered ? 1 : packed->shape.kw4 ? layers * rows : layers;
    l.length = l.gathered ? layers * rows * width : packed->shape.kw4 ? width : with_borders;
    l.span_tiles = pqc_div_round_up(l.length, PQC_AMX_SIDE);
    l.tiles = l.spans * l.span_tiles;
    l.direct = !packed->shape.kw4 && !l.gathered && view->c4_blocks % PQC_AMX_SIDE == 0;
    bool large = packed->padded_out * k * 4 > PQC_L2_AMX_WEIGHTS;
    ptrdiff_t most =
        l.direct ? MAX_MBLOCK_TILES
                 : (large ? PQC_L2_AMX_PANEL : PQC_L1_AMX_PANEL) / (4 * PQC_AMX_SIDE * k + 1);
    l.mblocks = pqc_div_round_up(l.tiles, pqc_clamp(most / 2 * 2, 2, MAX_MBLOCK_TILES));
    ptrdiff_t wanted = pqc_min(TASKS / (packed->shape.groups * l.pairs), l.tiles / 4);
    l.mblocks = pqc_clamp(wanted, l.mblocks, PTRDIFF_MAX);
    l.mblock = pqc_div_round_up(pqc_div_round_up(l.tiles, l.mblocks), 2) * 2;
    l.mblocks = pqc_div_round_up(l.tiles, l.mblock);
    l.parts = pqc_clamp(TASKS / (l.mblocks * packed->shape.groups), 1, l.pairs);
    return l;
}

/* The tasks and bytes of the subconvolution that needs the most. */
pqc_conv_amx_needs pqc_conv_amx_need(const pqc_packed_weights *packed, const pqc_conv_view *view)
{
    pqc_conv_amx_needs need = {0, 0};
    for (ptrdiff_t i = 0; i < packed->subconvs; i++) {
        const pqc_subconv *sub = &packed->sub[i];
        pqc_conv_range range[PQC_AXES];
        pqc_conv_ranges(packed, view, sub, range);
        if (range[0].count * range[1].count * range[2].count == 0)
            continue;
        layout l = layout_of(packed, view, range, sub->k);
        ptrdiff_t tasks = packed->shape.groups * l.mblocks * l.parts;
        ptrdiff_t panels = l.direct ? 0 : pqc_min(l.mblock, l.tiles);
        ptrdiff_t bytes = panels * sub->k * 4 * PQC_AMX_SIDE;
        need.tasks = tasks > need.tasks ? tasks : need.tasks;
        need.bytes = bytes > need.bytes ? bytes : need.bytes;
    }
    return need;
}

/* Appends a run of `count` pixels stored from `to`; merges it with the previous run if they are adjacent. */
static int add_run(const pqc_conv_work *w, pqc_amx_run *run, int runs, int from, int count,
                   ptrdiff_t to)
{
    if (runs > 0 && from % PQC_AMX_SIDE != 0 && w->range[2].step == 1) {
        pqc_amx_run *last = run + runs - 1;
        if (last->from + last->count == from && last->to + last->count == to) {
            last->count += count;
            return runs;
        }
    }
    run[runs] = (pqc_amx_run){from, count, to};
    return runs + 1;
}

/* Runs for the pixels [first, end) of a span whose rows are `pitch` long and hold range[2].count outputs each. */
static int row_runs(const pqc_conv_work *w, ptrdiff_t span, ptrdiff_t first, ptrdiff_t end,
                    ptrdiff_t pitch, int from, pqc_amx_run *run, int runs)
{
    ptrdiff_t width = w->range[2].count, rows = w->range[1].count;
    for (ptrdiff_t at = first; at < end;) {
        ptrdiff_t row = at / pitch, x = at % pitch;
        ptrdiff_t count = pqc_min(width, x + end - at) - x;
        if (count > 0)
            runs = add_run(w, run, runs, from + (int)(at - first), (int)count,
                           pqc_conv_output(w, span + row / rows, row % rows, x));
        at += pitch - x;
    }
    return runs;
}

static int runs_of(const job *j, ptrdiff_t tile, int from, pqc_amx_run *run, int runs)
{
    const pqc_conv_work *w = j->w;
    ptrdiff_t span = tile / j->l.span_tiles, first = tile % j->l.span_tiles * PQC_AMX_SIDE;
    ptrdiff_t end = pqc_min(first + PQC_AMX_SIDE, j->l.length), rows = w->range[1].count;
    if (!w->packed->shape.kw4)
        return row_runs(w, span, first, end,
                        j->l.gathered ? w->range[2].count : pqc_conv_pitch(w->view, 1), from, run,
                        runs);
    return add_run(w, run, runs, from, (int)(end - first),
                   pqc_conv_output(w, span / rows, span % rows, first));
}

/* The address that a tile's pixel offsets are relative to. */
static const uint8_t *pixels_at(const job *j, const uint8_t *x, ptrdiff_t tile)
{
    const pqc_conv_work *w = j->w;
    const pqc_conv_axis *axis = w->packed->shape.axis;
    ptrdiff_t span = tile / j->l.span_tiles, first = tile % j->l.span_tiles * PQC_AMX_SIDE;
    ptrdiff_t row = pqc_conv_pitch(w->view, 1), layer = pqc_conv_pitch(w->view, 0);
    if (j->l.gathered)
        return x;
    if (!w->packed->shape.kw4)
        return x + 4 * (span * layer + first);
    ptrdiff_t z = span / w->range[1].count, y = span % w->range[1].count;
    return x + z * axis[0].stride * layer + y * axis[1].stride * row + first * axis[2].stride;
}

static void fill_panel(const job *j, const uint8_t *x, ptrdiff_t tile, uint8_t *panel)
{
    const pqc_conv_work *w = j->w;
    const pqc_conv_axis *along = &w->packed->shape.axis[2];
    ptrdiff_t first = tile % j->l.span_tiles * PQC_AMX_SIDE;
    int32_t pixel[PQC_AMX_SIDE] = {0};
    pqc_amx_panel p = {.offset = w->offset, .k = w->sub->k};
    if (j->l.gathered) {
        pqc_conv_pixels(w, first, (int)pqc_min(PQC_AMX_SIDE, j->l.length - first), pixel);
        p.pixel = pixel;
    } else if (w->packed->shape.kw4) {
        p.stride = (int)along->stride;
        p.dilation = (int)along->dilation;
    }
    j->amx->panel(&p, pixels_at(j, x, tile), panel);
}

/* One M-block: the tiles of pixels whose sums are stored together. */
typedef struct {
    const uint8_t *x;     /* packed image of the group */
    const uint8_t *panel; /* unused if the layout is direct */
    ptrdiff_t first, tiles;
    pqc_amx_run run[PQC_AMX_MAX_MC]; /* one per pixel in the worst case */
    int runs;
} mblock;

static pqc_amx_pixels pixels_of(const job *j, const mblock *s, ptrdiff_t i)
{
    int blocks = (int)pqc_min(s->tiles - i, 2);
    if (!j->l.direct) {
        ptrdiff_t tile = 4 * PQC_AMX_SIDE * j->w->sub->k;
        return (pqc_amx_pixels){s->panel + i * tile, NULL, 4 * PQC_AMX_SIDE, tile, blocks};
    }
    const uint8_t *x = pixels_at(j, s->x, s->first + i);
    const uint8_t *next = pixels_at(j, s->x, s->first + i + blocks - 1);
    return (pqc_amx_pixels){x, j->w->offset, 4 * j->w->view->block_stride, next - x, blocks};
}

/* Multiplies one part of a group's output channels. */
static void multiply(const job *j, const mblock *s, ptrdiff_t group, ptrdiff_t part)
{
    /* stores may begin at any column */
    _Alignas(64) int32_t sums[PQC_AMX_PAIR * PQC_AMX_SUMS_STRIDE];
    const pqc_conv_work *w = j->w;
    const pqc_packed_weights *packed = w->packed;
    ptrdiff_t k = w->sub->k, out = packed->shape.out;
    ptrdiff_t block = pqc_conv_stored_k(&packed->shape, k) / PQC_AMX_SIDE * PQC_AMX_TILE_BYTES;
    ptrdiff_t first = pqc_part_begin(j->l.pairs, j->l.parts, part);
    ptrdiff_t end = pqc_part_begin(j->l.pairs, j->l.parts, part + 1);
    for (ptrdiff_t n = first; n < end; n++) {
        ptrdiff_t pair = pqc_nth_of_range(first, end, w->backwards, n);
        ptrdiff_t channel = PQC_AMX_PAIR * pair, left = pqc_min(out - channel, PQC_AMX_PAIR);
        ptrdiff_t sum = group * packed->padded_out + channel, output = group * out + channel;
        const int8_t *weights = w->sub->w + sum / PQC_AMX_SIDE * block;
        for (ptrdiff_t i = 0; i < s->tiles; i += 2) {
            pqc_amx_pixels pixels = pixels_of(j, s, i);
            j->amx->gemm_nchw(weights, left > PQC_AMX_SIDE ? 2 : 1, &pixels, k,
                              sums + PQC_AMX_SIDE * i);
        }
        pqc_amx_store stage = {.compensation = w->call->q.zero != 0 ? w->sub->compensation + sum
                                                                    : packed->no_compensation,
                               .to = pqc_output_f32_from(&w->to, output),
                               .run = s->run,
                               .runs = s->runs};
        stage.to.pixel_stride = w->range[2].step;
        j->amx->store(&stage, sums, (int)left);
    }
}

static void begin_mblock(const job *j, mblock *s, ptrdiff_t group, ptrdiff_t number, uint8_t *panel)
{
    const pqc_conv_view *view = j->w->view;
    s->x = j->w->bytes + group * view->c4_blocks * view->block_stride * view->element;
    s->panel = panel;
    s->first = number * j->l.mblock;
    s->tiles = pqc_min(j->l.mblock, j->l.tiles - s->first);
    s->runs = 0;
    for (ptrdiff_t i = 0; i < s->tiles; i++) {
        s->runs = runs_of(j, s->first + i, (int)i * PQC_AMX_SIDE, s->run, s->runs);
        if (!j->l.direct)
            fill_panel(j, s->x, s->first + i, panel + 4 * PQC_AMX_SIDE * j->w->sub->k * i);
    }
}

/* Tasks are numbered (group, M-block, part), part fastest, so that a thread sets an M-block up once for several
 * parts. */
static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    ptrdiff_t taken = pqc_scratch_pool_acquire(j->w->scratch), begun = -1;
    mblock s;
    j->amx->begin(j->w->sub->k, PQC_AMX_SIDE);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t task = pqc_nth_of_range(begin, end, j->w->backwards, i);
        ptrdiff_t number = task / j->l.parts, group = number / j->l.mblocks;
        if (number != begun)
            begin_mblock(j, &s, group, number % j->l.mblocks,
                         pqc_scratch_pool_at(j->w->scratch, taken));
        begun = number;
        multiply(j, &s, group, task % j->l.parts);
    }
    j->amx->end();
    pqc_scratch_pool_release(j->w->scratch, taken);
}

void pqc_conv_amx(const pqc_conv_work *w)
{
    job j = {w, w->packed->shape.amx, layout_of(w->packed, w->view, w->range, w->sub->k)};
    ptrdiff_t tasks = w->packed->shape.groups * j.l.mblocks * j.l.parts;
    ptrdiff_t products =
        j.l.tiles * PQC_AMX_SIDE * w->sub->k * 4 * w->packed->padded_out * w->packed->shape.groups;
    pqc_parallel_alternating(tasks, products, PQC_AMX_GRAIN, w->backwards, run_tasks, &j);
}
