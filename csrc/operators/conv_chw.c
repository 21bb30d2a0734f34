/* Quantised convolutions whose vector lanes are pixels (CHW results): tap-packed, depthwise and narrow pointwise
 * layers. */
#include "conv_chw_u8s8/conv_chw_u8s8.h"
#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

/* With up to 512 channels the pixels of an M-block stay in L1 while all output channels pass over them. */
enum { MAX_C4_BLOCKS = 128, MIN_MC = 48, FEW_ROWS = 8 };

bool pqc_conv_takes_chw(const pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->packed->shape;
    return !shape->amx && (shape->kw4 || (pqc_conv_is_pointwise(shape) && !shape->transposed &&
                                          w->packed->sub->k <= MAX_C4_BLOCKS));
}

static pqc_conv_chw_params params_of(const pqc_conv_work *w, ptrdiff_t group, ptrdiff_t panel)
{
    const pqc_packed_weights *packed = w->packed;
    ptrdiff_t first = panel * PQC_NR, left = packed->shape.out - first;
    ptrdiff_t sums = group * packed->padded_out + first;
    return (pqc_conv_chw_params){
        .offset = w->offset,
        .k = w->sub->k,
        .w = w->sub->w + (group * packed->padded_out + first) * w->sub->k * 4,
        .k_stride = PQC_LANES * pqc_panel_vectors(packed, panel) * 4,
        .compensation =
            w->call->q.zero != 0 ? w->sub->compensation + sums : packed->no_compensation + first,
        .weight_sums = w->sub->weight_sums + sums,
        .to = pqc_output_f32_from(&w->to, group * packed->shape.out + first),
        .channels = (int)pqc_min(left, PQC_NR),
        .stride = (int)packed->shape.axis[2].stride,
        .dilation = packed->shape.kw4 ? (int)packed->shape.axis[2].dilation : 0,
        .rows = 1,
    };
}

/* Output rows [begin, end), over all z slices, of a tap-packed image, for one panel of output channels. */
static void kw4_rows(const pqc_conv_work *w, ptrdiff_t group, ptrdiff_t panel, ptrdiff_t begin,
                     ptrdiff_t end)
{
    const pqc_conv_view *view = w->view;
    const pqc_conv_axis *axis = w->packed->shape.axis;
    pqc_conv_chw_params g = params_of(w, group, panel);
    ptrdiff_t row = pqc_conv_pitch(view, 1), layer = pqc_conv_pitch(view, 0),
              width = view->axis[2].out;
    ptrdiff_t rows = view->axis[1].out;
    float *first_y = g.to.y;
    g.x_row = axis[1].stride * row;
    g.y_row = width;
    for (ptrdiff_t i = begin; i < end; i += g.rows) {
        ptrdiff_t z = i / rows, y = i % rows;
        g.rows = rows - y < end - i ? rows - y : end - i;
        g.x = w->bytes + group * view->c4_blocks * view->block_stride + z * axis[0].stride * layer +
              y * g.x_row;
        g.to.y = first_y + i * width;
        pqc.conv_chw_u8s8(&g, width);
    }
}

/* Tasks are groups: a group's image is quantised, unless that is already done, and multiplied while it is cached. */
static void run_groups(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    pqc_conv_work *w = context;
    ptrdiff_t rows = pqc_conv_image_rows(&w->image) / w->packed->shape.groups;
    for (ptrdiff_t group = begin; group < end; group++) {
        pqc_conv_image_quantize(&w->image, group * rows, (group + 1) * rows);
        for (ptrdiff_t panel = 0; panel < pqc_panels(w->packed); panel++)
            kw4_rows(w, group, panel, 0, w->view->outputs / w->view->axis[2].out);
    }
}

/* Tasks are rows of one group, with all output channels: several rows per task, because some kernels first prepare
 * the weights. */
static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_conv_work *w = context;
    for (ptrdiff_t row = begin; row < end; row += FEW_ROWS)
        for (ptrdiff_t panel = 0; panel < pqc_panels(w->packed); panel++)
            kw4_rows(w, 0, panel, row, pqc_min(row + FEW_ROWS, end));
}

/* Pixels per M-block; M-blocks of an image. */
static ptrdiff_t mc_of(const pqc_conv_work *w)
{
    return MIN_MC * pqc_max(1, PQC_L1_CHW_PANEL / (4 * MIN_MC * w->sub->k + 1));
}

static ptrdiff_t mblocks_of(const pqc_conv_work *w)
{
    return pqc_div_round_up(w->view->outputs, mc_of(w));
}

/* Tasks are M-blocks of one group, with all output channels. */
static void run_mblocks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_conv_work *w = context;
    ptrdiff_t mc = mc_of(w), mblocks = mblocks_of(w);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t group = i / mblocks, first = i % mblocks * mc;
        ptrdiff_t pixels = pqc_min(w->view->outputs - first, mc);
        for (ptrdiff_t panel = 0; panel < pqc_panels(w->packed); panel++) {
            pqc_conv_chw_params g = params_of(w, group, panel);
            g.to.y += first;
            g.x = w->bytes + 4 * (group * w->view->c4_blocks * w->view->block_stride + first);
            pqc.conv_chw_u8s8(&g, pixels);
        }
    }
}

void pqc_conv_chw(pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->packed->shape;
    ptrdiff_t products = w->view->outputs * shape->out * w->sub->k * 4;
    ptrdiff_t rows = w->view->outputs / w->view->axis[2].out;
    if (!shape->kw4)
        pqc_parallel_tasks(shape->groups * mblocks_of(w), shape->groups * products, PQC_MAC_GRAIN,
                           run_mblocks, w);
    else if (pqc_conv_dwconv(w))
        return;
    else if (shape->groups > 1)
        pqc_parallel_tasks(shape->groups, shape->groups * (products + w->view->inputs * shape->in),
                           PQC_IMAGE_GRAIN, run_groups, w);
    else
        pqc_parallel_tasks(rows, products, PQC_MAC_GRAIN, run_rows, w);
}
