/* Depthwise convolutions by pqc.dwconv_u8s8, which quantises float32 rows as it goes; tasks are ranges of channels. */
#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

typedef struct {
    pqc_conv_work *work;
    pqc_dwconv_u8s8_fn *dwconv;
    pqc_dwconv_params params;
} job;

static bool is_depthwise(const pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->packed->shape;
    const pqc_conv_axis *y = &shape->axis[1], *x = &shape->axis[2];
    bool square =
        y->kernel == x->kernel && y->stride == x->stride && y->dilation == 1 && x->dilation == 1;
    return shape->kw4 && shape->groups > 1 && shape->in == 1 && shape->out == 1 &&
           w->packed->weight_planes == 1 && pqc_conv_is_flat(shape, w->view) && square &&
           (x->kernel == 3 || x->kernel == 5 || x->kernel == 7) && x->stride <= 2;
}

static pqc_dwconv_params params_of(const pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->packed->shape;
    const pqc_conv_axis *axis = shape->axis;
    const pqc_conv_view *view = w->view;
    ptrdiff_t step = w->packed->padded_out * 4;
    return (pqc_dwconv_params){.x = w->image.x,
                               .channels = shape->groups,
                               .height = view->axis[1].in,
                               .width = view->axis[2].in,
                               .kernel = (int)axis[2].kernel,
                               .stride = (int)axis[2].stride,
                               .top = axis[1].before,
                               .left = axis[2].before,
                               .taps = w->sub->w,
                               .taps_step = step,
                               .taps_channel = w->sub->k * step,
                               .q = w->call->q,
                               .to = w->to,
                               .out_height = view->axis[1].out,
                               .out_width = view->axis[2].out,
                               .prefetch = w->prefetch};
}

static void run_channels(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *p = context;
    pqc_dwconv_params part = p->params;
    part.channels = end - begin;
    pqc_dwconv_move(&part, begin);
    unsigned flags = p->dwconv(&part);
    if (flags != 0)
        atomic_fetch_or(&p->work->image.flags, flags);
}

bool pqc_conv_dwconv(pqc_conv_work *w)
{
    job p = {.work = w, .dwconv = pqc.dwconv_u8s8, .params = params_of(w)};
    if (p.dwconv == NULL || !is_depthwise(w) || (w->call->q.zero & 127) != 0 ||
        pqc_dwconv_padded_width(&p.params) > PQC_DWCONV_MAX_WIDTH ||
        p.params.width > PQC_DWCONV_MAX_WIDTH)
        return false;
    ptrdiff_t products = w->view->outputs * w->sub->k * 4;
    ptrdiff_t groups = w->packed->shape.groups;
    pqc_parallel_tasks(groups, groups * (products + w->view->inputs), PQC_IMAGE_GRAIN, run_channels,
                       &p);
    return true;
}
