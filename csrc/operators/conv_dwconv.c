#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

typedef struct {
    pqc_conv_work *work;
    pqc_depthwise_fn *depthwise;
    pqc_depthwise_planes planes;
} planes;

static bool is_depthwise(const pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->plan->shape;
    const pqc_conv_axis *y = &shape->axis[1], *x = &shape->axis[2];
    bool square =
        y->kernel == x->kernel && y->stride == x->stride && y->dilation == 1 && x->dilation == 1;
    return shape->columns && shape->groups > 1 && shape->in == 1 && shape->out == 1 &&
           w->plan->parts == 1 && pqc_conv_is_flat(shape, w->view) && square &&
           (x->kernel == 3 || x->kernel == 5 || x->kernel == 7) && x->stride <= 2;
}

static pqc_depthwise_planes planes_of(const pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->plan->shape;
    const pqc_conv_axis *axis = shape->axis;
    const pqc_conv_view *view = w->view;
    ptrdiff_t step = w->plan->lanes * 4;
    return (pqc_depthwise_planes){.x = w->image.x,
                                  .channels = shape->groups,
                                  .height = view->axis[1].in,
                                  .width = view->axis[2].in,
                                  .kernel = (int)axis[2].kernel,
                                  .stride = (int)axis[2].stride,
                                  .top = axis[1].before,
                                  .left = axis[2].before,
                                  .taps = w->piece->w,
                                  .taps_step = step,
                                  .taps_channel = w->piece->k * step,
                                  .q = w->call->q,
                                  .scale = w->scale,
                                  .bias = w->bias,
                                  .y = w->y,
                                  .out_height = view->axis[1].out,
                                  .out_width = view->axis[2].out,
                                  .far = w->far};
}

static void run_planes(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    planes *p = context;
    pqc_depthwise_planes part = p->planes;
    part.channels = end - begin;
    pqc_depthwise_move(&part, begin);
    unsigned flags = p->depthwise(&part);
    if (flags != 0)
        atomic_fetch_or(&p->work->image.flags, flags);
}

bool pqc_conv_planes(pqc_conv_work *w)
{
    planes p = {.work = w, .depthwise = pqc.depthwise, .planes = planes_of(w)};
    if (p.depthwise == NULL || !is_depthwise(w) ||
        pqc_depthwise_columns(&p.planes) > PQC_DEPTHWISE_WIDTH ||
        p.planes.width > PQC_DEPTHWISE_WIDTH)
        return false;
    ptrdiff_t products = w->view->outputs * w->piece->k * 4;
    ptrdiff_t groups = w->plan->shape.groups;
    pqc_parallel_tasks(groups, groups * (products + w->view->inputs), PQC_IMAGE_GRAIN, run_planes,
                       &p);
    return true;
}
