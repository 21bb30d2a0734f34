#include "conv_work.h"
#include "dispatch.h"
#include "igemm_u8s8/igemm_u8s8.h"
#include "conv_chw_u8s8/conv_chw_u8s8.h"

/* Up to 512 channels the pixels of a strip stay in the first cache while all output channels pass
 * over them. */
enum { MOST_QUADS = 128, STRIP_BYTES = 16384, STRIP = 48, FEW_ROWS = 8 };

bool pqc_conv_takes_lines(const pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->plan->shape;
    return !shape->unit && (shape->columns || (pqc_conv_is_pointwise(shape) && !shape->transposed &&
                                               w->plan->piece->k <= MOST_QUADS));
}

static pqc_lines_s8_block block_of(const pqc_conv_work *w, ptrdiff_t group, ptrdiff_t block)
{
    const pqc_conv_plan *plan = w->plan;
    ptrdiff_t first = block * PQC_BLOCK_CHANNELS, left = plan->shape.out - first;
    ptrdiff_t sums = group * plan->lanes + first, channel = group * plan->shape.out + first;
    return (pqc_lines_s8_block){
        .offset = w->offset,
        .k = w->piece->k,
        .w = w->piece->w + (group * plan->lanes + first) * w->piece->k * 4,
        .w_step = PQC_LANES * pqc_conv_block_vectors(plan, block) * 4,
        .start = w->call->q.zero != 0 ? w->piece->start + sums : plan->zeros + first,
        .sum = w->piece->sum + sums,
        .scale = w->scale + channel,
        .bias = w->bias + channel,
        .channels = (int)pqc_least(left, PQC_BLOCK_CHANNELS),
        .stride = (int)plan->shape.axis[2].stride,
        .dilation = plan->shape.columns ? (int)plan->shape.axis[2].dilation : 0,
        .rows = 1,
        .stream = w->stream,
    };
}

/* Rows from `begin` to `end` of all layers of an image in columns, for the channels of one block.
 */
static void column_rows(const pqc_conv_work *w, ptrdiff_t group, ptrdiff_t block, ptrdiff_t begin,
                        ptrdiff_t end)
{
    const pqc_conv_view *view = w->view;
    const pqc_conv_axis *axis = w->plan->shape.axis;
    pqc_lines_s8_block g = block_of(w, group, block);
    ptrdiff_t row = pqc_conv_pitch(view, 1), layer = pqc_conv_pitch(view, 0),
              width = view->axis[2].out;
    ptrdiff_t rows = view->axis[1].out,
              channel = group * w->plan->shape.out + block * PQC_BLOCK_CHANNELS;
    g.x_row = axis[1].stride * row;
    g.y_row = width;
    for (ptrdiff_t i = begin; i < end; i += g.rows) {
        ptrdiff_t z = i / rows, y = i % rows;
        g.rows = rows - y < end - i ? rows - y : end - i;
        g.x =
            w->bytes + group * view->quads * view->plane + z * axis[0].stride * layer + y * g.x_row;
        pqc.lines_s8(&g, width, w->y + channel * view->outputs + i * width, view->outputs);
    }
}

/* Tasks are groups: a group's image is quantised, if that is still to do, and multiplied while it
 * is in the cache. */
static void run_groups(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    pqc_conv_work *w = context;
    ptrdiff_t rows = pqc_conv_image_rows(&w->image) / w->plan->shape.groups;
    for (ptrdiff_t group = begin; group < end; group++) {
        pqc_conv_image_quantize(&w->image, group * rows, (group + 1) * rows);
        for (ptrdiff_t block = 0; block < pqc_conv_blocks(w->plan); block++)
            column_rows(w, group, block, 0, w->view->outputs / w->view->axis[2].out);
    }
}

/* Tasks are rows of one group, all output channels: a few rows at a time, for some kernels prepare the weights. */
static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_conv_work *w = context;
    for (ptrdiff_t row = begin; row < end; row += FEW_ROWS)
        for (ptrdiff_t block = 0; block < pqc_conv_blocks(w->plan); block++)
            column_rows(w, 0, block, row, pqc_least(row + FEW_ROWS, end));
}

static ptrdiff_t strip_of(const pqc_conv_work *w)
{
    ptrdiff_t strips = STRIP_BYTES / (4 * STRIP * w->piece->k + 1);
    return STRIP * (strips < 1 ? 1 : strips);
}

/* Tasks are strips of pixels of one group, all output channels. */
static void run_strips(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_conv_work *w = context;
    ptrdiff_t strip = strip_of(w), strips = (w->view->outputs + strip - 1) / strip,
              out = w->plan->shape.out;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t group = i / strips, first = i % strips * strip, left = w->view->outputs - first;
        for (ptrdiff_t block = 0; block < pqc_conv_blocks(w->plan); block++) {
            pqc_lines_s8_block g = block_of(w, group, block);
            g.x = w->bytes + 4 * (group * w->view->quads * w->view->plane + first);
            float *y = w->y + (group * out + block * PQC_BLOCK_CHANNELS) * w->view->outputs + first;
            pqc.lines_s8(&g, left < strip ? left : strip, y, w->view->outputs);
        }
    }
}

void pqc_conv_lines(pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->plan->shape;
    ptrdiff_t products = w->view->outputs * shape->out * w->piece->k * 4, strip = strip_of(w);
    ptrdiff_t rows = w->view->outputs / w->view->axis[2].out,
              strips = (w->view->outputs + strip - 1) / strip;
    if (!shape->columns)
        pqc_parallel_tasks(shape->groups * strips, shape->groups * products, PQC_PRODUCTS_GRAIN,
                           run_strips, w);
    else if (pqc_conv_planes(w))
        return;
    else if (shape->groups > 1)
        pqc_parallel_tasks(shape->groups, shape->groups * (products + w->view->inputs * shape->in),
                           PQC_IMAGE_GRAIN, run_groups, w);
    else
        pqc_parallel_tasks(rows, products, PQC_PRODUCTS_GRAIN, run_rows, w);
}
