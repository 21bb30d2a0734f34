/* Quantised linear layers: float32 rows are quantised to bytes and multiplied with packed int8 weights, a row panel
 * at a time. */
#include "igemm_mblock.h"
#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum { QUANTIZE_GRAIN = 1 << 14 };

/* Loading a weight costs as much as this many products. */
enum { FETCH = 4 };

/* For a single row vectors are faster: loading the weights dominates, and AMX loads them no faster. */
enum { MIN_AMX_ROWS = 2 };

/* Rows are quantised and multiplied one row panel at a time, so that they stay cached and memory does not grow with
 * their number. */
typedef struct {
    const pqc_packed_weights *packed;
    const pqc_conv_call *call;
    float *scale, *bias;
    int32_t *offset;
    uint8_t *bytes;
    ptrdiff_t pitch; /* bytes per row */
    ptrdiff_t first, rows, mblocks;
    bool fits_l2;            /* x and y stay in L2 */
    ptrdiff_t group;         /* weight panels per group */
    const pqc_amx_gemm *amx; /* or NULL */
    ptrdiff_t row_block;     /* granularity of the stored rows: 16 with `amx`, else 1 */
    pqc_gemv_u8s8_fn *gemv;  /* the kernel for a single row, if it supports this one; else NULL */
    atomic_uint flags;
} work;

static const pqc_amx_gemm *amx_of(const pqc_packed_weights *packed, ptrdiff_t rows)
{
    return rows >= MIN_AMX_ROWS ? packed->shape.amx : NULL;
}

static pqc_gemv_u8s8_fn *gemv_of(const pqc_packed_weights *packed, ptrdiff_t rows)
{
    return rows == 1 && packed->weight_planes == 1 && packed->sub->k_splits == 1 ? pqc.gemv_u8s8
                                                                                 : NULL;
}

static ptrdiff_t pitch_of(const pqc_packed_weights *packed, bool amx)
{
    ptrdiff_t step = amx ? 4 * PQC_AMX_SIDE : 4;
    return pqc_div_round_up(packed->shape.in, step) * step;
}

static ptrdiff_t row_panel_of(const pqc_packed_weights *packed, bool amx, ptrdiff_t rows)
{
    ptrdiff_t row_panel = PQC_L2_LINEAR_ROWS / pitch_of(packed, amx) / PQC_MAX_MC * PQC_MAX_MC;
    row_panel = row_panel < PQC_MAX_MC ? PQC_MAX_MC : row_panel;
    return rows < row_panel ? rows : row_panel;
}

ptrdiff_t pqc_linear_workspace(const pqc_packed_weights *packed, ptrdiff_t rows)
{
    bool amx = amx_of(packed, rows) != NULL;
    ptrdiff_t row_panel = row_panel_of(packed, amx, rows), block = amx ? PQC_AMX_SIDE : 1;
    return 2 * pqc_line_aligned(packed->shape.out * (ptrdiff_t)sizeof(float)) +
           pqc_line_aligned(packed->sub->k * (ptrdiff_t)sizeof(int32_t)) +
           pqc_line_aligned(pqc_div_round_up(row_panel, block) * block * pitch_of(packed, amx));
}

static void lay_out(work *w)
{
    char *at = w->call->workspace;
    ptrdiff_t channels = pqc_line_aligned(w->packed->shape.out * (ptrdiff_t)sizeof(float));
    w->scale = (float *)(void *)at;
    w->bias = (float *)(void *)(at + channels);
    w->offset = (int32_t *)(void *)(at + 2 * channels);
    w->bytes = (uint8_t *)at + 2 * channels +
               pqc_line_aligned(w->packed->sub->k * (ptrdiff_t)sizeof(int32_t));
}

/* Sets up what M-blocks need and a gemv does not. */
static void set_up_mblocks(work *w)
{
    int32_t *offset = w->offset;
    ptrdiff_t c4_blocks = pitch_of(w->packed, false) / 4;
    for (ptrdiff_t plane = 0; plane < w->packed->weight_planes; plane++)
        for (ptrdiff_t c4 = 0; c4 < c4_blocks; c4++)
            *offset++ = (int32_t)(4 * c4);
    pqc_conv_scales(w->packed, w->call, w->scale, w->bias);
}

static unsigned quantize(const work *w, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t column,
                         ptrdiff_t n, uint8_t *y, ptrdiff_t y_row)
{
    ptrdiff_t in = w->packed->shape.in, at_once = w->call->row_q ? 1 : rows;
    unsigned flags = 0;
    for (ptrdiff_t i = 0; i < rows; i += at_once) {
        ptrdiff_t from = w->first + row + i;
        flags |=
            pqc.pack_u8(&(pqc_u8_rows){.x = w->call->x + from * in + column,
                                       .y = y + i * y_row,
                                       .x_row = in,
                                       .y_row = y_row,
                                       .rows = at_once,
                                       .n = n,
                                       .q = w->call->row_q ? w->call->row_q[from] : w->call->q});
    }
    for (ptrdiff_t i = 0; i < rows && n % 4 != 0; i++)
        memset(y + i * y_row + n, 0, (size_t)(4 - n % 4)); /* the weights there are 0 */
    return flags;
}

static void pack_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    work *w = context;
    unsigned flags = quantize(w, begin, end - begin, 0, w->packed->shape.in,
                              w->bytes + begin * w->pitch, w->pitch);
    if (flags != 0)
        atomic_fetch_or(&w->flags, flags);
}

/* Packs rows in blocks of 16, as amx_gemm.h describes.  Backwards for the reason given in conv_pack_input.c. */
static void pack_blocks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    work *w = context;
    unsigned flags = 0;
    for (ptrdiff_t row = PQC_AMX_SIDE * (end - 1); row >= PQC_AMX_SIDE * begin; row -= PQC_AMX_SIDE)
        for (ptrdiff_t column = 0; column < w->packed->shape.in; column += 4 * PQC_AMX_SIDE)
            flags |= quantize(w, row, pqc_min(w->rows - row, PQC_AMX_SIDE), column,
                              pqc_min(w->packed->shape.in - column, 4 * PQC_AMX_SIDE),
                              w->bytes + row * w->pitch + PQC_AMX_SIDE * column, 4 * PQC_AMX_SIDE);
    if (flags != 0)
        atomic_fetch_or(&w->flags, flags);
}

/* Weight panels that stay in L2 while all rows pass over them.  With wider groups longer parts of a row are written
 * at once. */
static ptrdiff_t group_of(const pqc_packed_weights *packed)
{
    ptrdiff_t most = PQC_L2_LINEAR_WEIGHTS / (4 * PQC_NR * packed->sub->k),
              blocks = pqc_panels(packed);
    ptrdiff_t groups = most > 0 ? pqc_div_round_up(blocks, most) : blocks;
    return pqc_div_round_up(blocks, groups);
}

/* Tasks are numbered (group of panels, M-block, panel).  Stepping to the next one avoids a division, which costs as
 * much as many products. */
typedef struct {
    ptrdiff_t first, end; /* panels [first, end) of the group */
    ptrdiff_t panel, mblock;
    ptrdiff_t row; /* first row of the M-block */
    int rows;
} place;

static ptrdiff_t first_row(const work *w, ptrdiff_t mblock)
{
    ptrdiff_t blocks = pqc_div_round_up(w->rows, w->row_block);
    return pqc_min(w->row_block * pqc_part_begin(blocks, w->mblocks, mblock), w->rows);
}

static void enter_group(const work *w, place *at, ptrdiff_t first)
{
    at->first = first;
    at->end = pqc_min(first + w->group, pqc_panels(w->packed));
}

static void enter_mblock(const work *w, place *at, ptrdiff_t mblock)
{
    at->mblock = mblock;
    at->row = first_row(w, mblock);
    at->rows = (int)(first_row(w, mblock + 1) - at->row);
}

static place place_of(const work *w, ptrdiff_t task)
{
    ptrdiff_t of_group = w->group * w->mblocks, rest = task % of_group;
    place at;
    enter_group(w, &at, task / of_group * w->group);
    enter_mblock(w, &at, rest / (at.end - at.first));
    at.panel = at.first + rest % (at.end - at.first);
    return at;
}

/* Steps to the next task, or to the previous one if backwards. */
static void move_on(const work *w, place *at)
{
    int by = w->call->backwards ? -1 : 1;
    at->panel += by;
    if (at->first <= at->panel && at->panel < at->end)
        return;
    ptrdiff_t mblock = at->mblock + by;
    if (mblock < 0 || mblock == w->mblocks) {
        enter_group(w, at, at->first + by * w->group);
        mblock = mblock < 0 ? w->mblocks - 1 : 0;
    }
    enter_mblock(w, at, mblock);
    at->panel = by < 0 ? at->end - 1 : at->first;
}

static pqc_output_f32 output_of(const work *w, place at)
{
    ptrdiff_t channel = PQC_NR * at.panel, out = w->packed->shape.out;
    return (pqc_output_f32){.scale = w->scale + channel,
                            .bias = w->bias + channel,
                            .y = w->call->y + (w->first + at.row) * out + channel,
                            .pixel_stride = out,
                            .channel_stride = 1};
}

static pqc_mblock mblock_of(const work *w, place at, const int32_t *pixel)
{
    return (pqc_mblock){.packed = w->packed,
                        .sub = w->packed->sub,
                        .panel = at.panel,
                        .zero = w->call->q.zero,
                        .prefetch = !w->fits_l2,
                        .x = w->bytes + at.row * w->pitch,
                        .offset = w->offset,
                        .pixel = pixel,
                        .pixels = at.rows,
                        .to = output_of(w, at)};
}

static void run_mblocks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const work *w = context;
    int32_t pixel[PQC_MAX_MC];
    for (int i = 0; i < pqc_min(w->rows, PQC_MAX_MC); i++)
        pixel[i] = (int32_t)(i * w->pitch);
    place at = place_of(w, w->call->backwards ? end - 1 : begin);
    for (ptrdiff_t left = end - begin; left > 0; left--, move_on(w, &at)) {
        pqc_mblock mblock = mblock_of(w, at, pixel);
        pqc_mblock_run(&mblock);
    }
}

/* Multiplies panels [begin, end) with the single row. */
static void run_gemv(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const work *w = context;
    const pqc_packed_weights *packed = w->packed;
    const pqc_subconv *sub = packed->sub;
    ptrdiff_t first = PQC_NR * begin;
    pqc_gemv_params row = {
        .x = w->bytes,
        .k = sub->k,
        .w = sub->w + 4 * sub->k * first,
        .narrow = packed->shape.amx != NULL,
        .compensation =
            (w->call->q.zero != 0 ? sub->compensation : packed->no_compensation) + first,
        .scale = 1.0 / (double)w->call->div,
        .inverse = packed->inverse + first,
        .to = {.bias = w->call->bias ? w->call->bias + first : NULL,
               .y = w->call->y + first,
               .channel_stride = 1},
        .channels = pqc_min(packed->shape.out, PQC_NR * end) - first,
        .backwards = w->call->backwards};
    w->gemv(&row);
}

static void run_mblocks_on_amx(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const work *w = context;
    pqc_amx_pending pending;
    pending.turn = pending.block.pixels = 0;
    pending.ld = PQC_AMX_PAIR;
    w->amx->begin(w->packed->sub->k, (int)pqc_min(w->rows, PQC_AMX_SIDE));
    place at = place_of(w, w->call->backwards ? end - 1 : begin);
    for (ptrdiff_t left = end - begin; left > 0; left--, move_on(w, &at)) {
        pqc_mblock mblock = mblock_of(w, at, NULL);
        pqc_igemm_params g = pqc_mblock_igemm(&mblock);
        pqc_output_block block = {mblock.to, at.rows, pqc_mblock_channels(&mblock), false};
        w->amx->gemm_nhwc(&g, mblock.x, &block, &pending);
    }
    w->amx->flush(&pending);
    w->amx->end();
}

/* Rescales rows that have a scale each; y holds their sums. */
static void rescale_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const work *w = context;
    ptrdiff_t out = w->packed->shape.out;
    for (ptrdiff_t i = begin; i < end; i++)
        pqc.rescale_row(w->call->y + (w->first + i) * out, out, w->call->row_inverse[w->first + i],
                        w->packed->inverse, w->call->bias ? w->call->bias : w->bias);
}

/* On AMX, an M-block takes an even number of row blocks where it can. */
static void run_row_panel(work *w)
{
    ptrdiff_t blocks = pqc_div_round_up(w->rows, w->row_block);
    ptrdiff_t most = PQC_MAX_MC / w->row_block;
    w->mblocks = w->amx ? pqc_div_round_up(blocks, most) : pqc_mblocks(w->rows);
    pqc_parallel_tasks(blocks, w->rows * w->packed->shape.in, QUANTIZE_GRAIN,
                       w->amx ? pack_blocks : pack_rows, w);
    if (atomic_load(&w->flags) != 0)
        return;
    ptrdiff_t tasks = pqc_panels(w->packed) * w->mblocks;
    ptrdiff_t products =
        pqc_clamp(w->rows, FETCH, PTRDIFF_MAX) * w->packed->padded_out * w->packed->sub->k * 4;
    pqc_parallel_alternating(tasks, products, PQC_MAC_GRAIN, w->call->backwards,
                             w->amx    ? run_mblocks_on_amx
                             : w->gemv ? run_gemv
                                       : run_mblocks,
                             w);
    if (w->call->row_q)
        pqc_parallel_tasks(w->rows, w->rows * w->packed->shape.out, QUANTIZE_GRAIN, rescale_rows,
                           w);
}

unsigned pqc_linear_run(const pqc_packed_weights *packed, const pqc_conv_call *call)
{
    work w = {.packed = packed, .call = call, .group = group_of(packed)};
    unsigned flags = 0;
    if (call->batch == 0)
        return 0;
    w.amx = amx_of(packed, call->batch);
    ptrdiff_t row_panel = row_panel_of(packed, w.amx != NULL, call->batch);
    w.row_block = w.amx ? PQC_AMX_SIDE : 1;
    w.fits_l2 = call->batch * (packed->shape.in + packed->shape.out) * 4 < PQC_L2_WORKING_SET;
    w.gemv = gemv_of(packed, call->batch);
    w.pitch = pitch_of(packed, w.amx != NULL);
    lay_out(&w);
    if (w.gemv == NULL)
        set_up_mblocks(&w);
    for (w.first = (call->batch - 1) / row_panel * row_panel; w.first >= 0 && flags == 0;
         w.first -= row_panel) { /* backwards, as in conv_pack_input.c */
        w.rows = pqc_min(call->batch - w.first, row_panel);
        run_row_panel(&w);
        flags = atomic_load(&w.flags);
    }
    return flags;
}
