/* Quantised convolutions whose vector lanes are output channels: indirect GEMM over M-blocks of pixels and weight
 * panels. */
#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

enum { MAX_ROW_RANGES = 8, MIN_WIDTH = 4 };

/* Neighbouring output rows that see the same kernel rows; the other kernel rows lie on padding and contribute zero. */
typedef struct {
    ptrdiff_t pixel, pixels; /* index of the first; their number */
    ptrdiff_t mblock, mblocks;
    ptrdiff_t tap, taps;
} row_range;

typedef struct {
    const pqc_conv_work *work;
    row_range row_range[MAX_ROW_RANGES];
    int row_ranges;
    ptrdiff_t mblocks; /* total over the row ranges */
} job;

static void add_row_range(job *j, ptrdiff_t y, ptrdiff_t rows, ptrdiff_t tap, ptrdiff_t taps)
{
    const pqc_conv_range *range = j->work->range;
    ptrdiff_t pixels = rows * range[2].count, mblocks = pqc_mblocks(pixels);
    if (pixels == 0)
        return;
    j->row_range[j->row_ranges++] =
        (row_range){y * range[2].count, pixels, j->mblocks, mblocks, tap, taps};
    j->mblocks += mblocks;
}

/* The first kernel row that, for output row y, reads input row `in` or a later one. */
static ptrdiff_t tap_at(const pqc_conv_axis *a, ptrdiff_t y, ptrdiff_t in)
{
    ptrdiff_t distance = in + a->before - y * a->stride;
    return pqc_clamp(distance <= 0 ? 0 : pqc_div_round_up(distance, a->dilation), 0, a->kernel);
}

static void add_rows(job *j, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_conv_axis *a = &j->work->packed->shape.axis[1];
    for (ptrdiff_t y = begin; y < end; y++) {
        ptrdiff_t first = tap_at(a, y, 0), last = tap_at(a, y, j->work->view->axis[1].in);
        add_row_range(j, y, 1, first, last - first);
    }
}

/* Output rows at the top and bottom whose kernels overlap padding get row ranges of their own, if there are few of
 * them. */
static void find_row_ranges(job *j)
{
    const pqc_conv_work *w = j->work;
    const pqc_conv_axis *a = &w->packed->shape.axis[1];
    ptrdiff_t rows = w->range[1].count;
    ptrdiff_t top = pqc_min(pqc_div_round_up(a->before, a->stride), rows);
    ptrdiff_t room = w->view->axis[1].in + a->before - (a->kernel - 1) * a->dilation;
    ptrdiff_t bottom = pqc_clamp(room <= 0 ? 0 : pqc_div_round_up(room, a->stride), top, rows);
    if (w->sub->row_sums == NULL || w->range[0].count > 1 || w->range[2].count < MIN_WIDTH ||
        top + 1 + rows - bottom > MAX_ROW_RANGES) {
        add_row_range(j, 0, w->range[0].count * rows, 0, a->kernel);
        return;
    }
    add_rows(j, 0, top);
    add_row_range(j, top, bottom - top, 0, a->kernel);
    add_rows(j, bottom, rows);
}

/* The kr groups of a row range's kernel rows, and the compensation for those alone. */
static void set_k_range(const pqc_mblock *mblock, const row_range *b, pqc_k_range *range)
{
    const pqc_subconv *sub = mblock->sub;
    ptrdiff_t rows = sub->taps[1].count, padded_out = mblock->packed->padded_out;
    ptrdiff_t channels = PQC_LANES * pqc_panel_vectors(mblock->packed, mblock->panel);
    const int32_t *before =
        sub->row_sums + (mblock->group * (rows + 1) + b->tap) * padded_out + PQC_NR * mblock->panel;
    range->first = pqc_conv_row_k(sub) * b->tap;
    range->k = pqc_conv_row_k(sub) * b->taps;
    for (ptrdiff_t c = 0; c < channels; c++) {
        range->weight_sums[c] = before[b->taps * padded_out + c] - before[c];
        range->compensation[c] = -(range->weight_sums[c] / 128) * mblock->zero;
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

/* A subconvolution of a transposed convolution writes every stride-th output. */
static void scatter(const pqc_conv_work *w, const float *mblock, ptrdiff_t first, int pixels,
                    int channels, float *y)
{
    ptrdiff_t width = w->range[2].count, rows = w->range[1].count;
    for (int i = 0; i < pixels; i++) {
        ptrdiff_t n = first + i, row = n / width;
        ptrdiff_t at = pqc_conv_output(w, row / rows, row % rows, n % width);
        for (int c = 0; c < channels; c++)
            y[c * w->view->outputs + at] = mblock[c * PQC_MAX_MC + i];
    }
}

static void run_mblock(const job *j, ptrdiff_t group, ptrdiff_t panel, ptrdiff_t number)
{
    const pqc_conv_work *w = j->work;
    const pqc_conv_shape *shape = &w->packed->shape;
    const row_range *b = j->row_range;
    int32_t pixel[PQC_MAX_MC];
    pqc_k_range range;
    while (number >= b->mblock + b->mblocks)
        b++;
    ptrdiff_t begin = pqc_part_begin(b->pixels, b->mblocks, number - b->mblock);
    ptrdiff_t end = pqc_part_begin(b->pixels, b->mblocks, number - b->mblock + 1);
    ptrdiff_t first = b->pixel + begin, channel = group * shape->out + PQC_NR * panel;
    pqc_output_f32 to = pqc_output_f32_from(&w->to, channel);
    pqc_mblock mblock = {.packed = w->packed,
                         .sub = w->sub,
                         .group = group,
                         .panel = panel,
                         .zero = w->call->q.zero,
                         .prefetch = !w->fits_l2 && !shape->transposed,
                         .x = w->bytes + group * w->view->c4_blocks * w->view->block_stride * 4,
                         .offset = w->offset,
                         .pixel = pixel,
                         .pixels = (int)(end - begin),
                         .to = to};
    pqc_conv_pixels(w, first, mblock.pixels, pixel);
    if (b->taps < shape->axis[1].kernel) {
        set_k_range(&mblock, b, &range);
        mblock.range = &range;
    }
    if (!shape->transposed) {
        mblock.to.y += first;
        pqc_mblock_run(&mblock);
        return;
    }
    float result[PQC_NR * PQC_MAX_MC];
    mblock.to.y = result;
    mblock.to.channel_stride = PQC_MAX_MC;
    pqc_mblock_run(&mblock);
    scatter(w, result, first, mblock.pixels, pqc_mblock_channels(&mblock), to.y);
}

/* Tasks are numbered (group, panel, M-block), M-block fastest, so that a panel's weights stay cached. */
static void run_mblocks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    ptrdiff_t panels = pqc_panels(j->work->packed);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t task = pqc_nth_of_range(begin, end, j->work->backwards, i),
                  panel = task / j->mblocks;
        run_mblock(j, panel / panels, panel % panels, task % j->mblocks);
    }
}

void pqc_conv_igemm(const pqc_conv_work *w)
{
    job j = {.work = w};
    find_row_ranges(&j);
    ptrdiff_t tasks = w->packed->shape.groups * pqc_panels(w->packed) * j.mblocks;
    ptrdiff_t products =
        w->pixels * w->packed->padded_out * w->packed->shape.groups * w->sub->k * 4;
    pqc_parallel_alternating(tasks, products, PQC_MAC_GRAIN, w->backwards, run_mblocks, &j);
}
