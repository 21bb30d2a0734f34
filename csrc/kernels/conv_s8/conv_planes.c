#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

typedef struct {
    pqc_conv_work *work;
    pqc_depthwise_fn *depthwise;
    pqc_depthwise_plane plane; /* what all groups have in common */
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

static pqc_depthwise_plane common_of(const pqc_conv_work *w)
{
    const pqc_conv_axis *axis = w->plan->shape.axis;
    return (pqc_depthwise_plane){.height = w->view->axis[1].in,
                                 .width = w->view->axis[2].in,
                                 .kernel = (int)axis[2].kernel,
                                 .stride = (int)axis[2].stride,
                                 .top = axis[1].before,
                                 .left = axis[2].before,
                                 .q = w->call->q,
                                 .out_height = w->view->axis[1].out,
                                 .out_width = w->view->axis[2].out};
}

static void fill_group(const pqc_conv_work *w, ptrdiff_t group, pqc_depthwise_plane *plane)
{
    ptrdiff_t step = w->plan->lanes * 4;
    plane->taps = w->piece->w + group * w->piece->k * step;
    plane->taps_step = step;
    plane->x = w->image.x + group * w->view->inputs;
    plane->y = w->y + group * w->view->outputs;
    plane->scale = w->scale[group];
    plane->bias = w->bias[group];
}

/* Backwards, as in conv_image.c. */
static void run_planes(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    planes *p = context;
    pqc_depthwise_plane plane = p->plane;
    unsigned flags = 0;
    for (ptrdiff_t group = end - 1; group >= begin; group--) {
        fill_group(p->work, group, &plane);
        flags |= p->depthwise(&plane);
    }
    if (flags != 0)
        atomic_fetch_or(&p->work->image.flags, flags);
}

bool pqc_conv_planes(pqc_conv_work *w)
{
    planes p = {.work = w, .depthwise = pqc.depthwise, .plane = common_of(w)};
    if (p.depthwise == NULL || !is_depthwise(w) ||
        pqc_depthwise_columns(&p.plane) > PQC_DEPTHWISE_WIDTH)
        return false;
    ptrdiff_t products = w->view->outputs * w->piece->k * 4;
    pqc_parallel(w->plan->shape.groups, PQC_IMAGE_GRAIN / (products + w->view->inputs + 1) + 1,
                 run_planes, &p);
    return true;
}
