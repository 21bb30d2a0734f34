/* Output sizes, phases, offsets and bytes of the packed layouts described in conv_shape.h; integer arithmetic alone. */
#include "conv_shape.h"

enum { READ_AHEAD = 1024 }; /* bytes that a vector load may reach past the last output's address */

static const ptrdiff_t MAX_OUTPUTS = (ptrdiff_t)1 << 40; /* per channel */

static ptrdiff_t gcd(ptrdiff_t a, ptrdiff_t b)
{
    while (b != 0) {
        ptrdiff_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

ptrdiff_t pqc_conv_outputs(const pqc_conv_shape *shape, int axis, ptrdiff_t size)
{
    const pqc_conv_axis *a = &shape->axis[axis];
    ptrdiff_t reach = a->dilation * (a->kernel - 1), padding = a->before + a->after;
    if (shape->transposed)
        return (size - 1) * a->stride - padding + reach + a->extra + 1;
    ptrdiff_t room = size + padding - reach - 1;
    return room < 0 ? 0 : room / a->stride + 1;
}

bool pqc_conv_is_pointwise(const pqc_conv_shape *shape)
{
    for (int axis = 0; axis < PQC_AXES; axis++) {
        const pqc_conv_axis *a = &shape->axis[axis];
        if (a->kernel != 1 || a->stride != 1 || a->before != 0 || a->after != 0 || a->extra != 0)
            return false;
    }
    return true;
}

bool pqc_conv_is_flat(const pqc_conv_shape *shape, const pqc_conv_view *view)
{
    const pqc_conv_axis *z = &shape->axis[0];
    return z->kernel == 1 && z->before == 0 && view->axis[0].in == 1 && view->axis[0].out == 1;
}

/* Taps of the same phase are `period` apart; an ordinary convolution reads pqc_min(kernel, period) phases. */
static ptrdiff_t period_of(const pqc_conv_axis *a)
{
    return a->stride / gcd(a->stride, a->dilation);
}

ptrdiff_t pqc_conv_axis_subconvs(const pqc_conv_shape *shape, int axis)
{
    return shape->transposed ? shape->axis[axis].stride : 1;
}

/* Tap t of a transposed convolution contributes to outputs o with o + before = t * dilation (mod stride). */
pqc_conv_taps pqc_conv_axis_taps(const pqc_conv_shape *shape, int axis, ptrdiff_t sub)
{
    const pqc_conv_axis *a = &shape->axis[axis];
    if (!shape->transposed)
        return (pqc_conv_taps){0, 1, a->kernel};
    ptrdiff_t period = period_of(a);
    for (ptrdiff_t t = 0; t < pqc_min(period, a->kernel); t++)
        if (t * a->dilation % a->stride == sub)
            return (pqc_conv_taps){t, period, (a->kernel - 1 - t) / period + 1};
    return (pqc_conv_taps){0, 1, 0};
}

/* Output o = stride * j + sub - before reads, through tap t, input j - (t * dilation - sub) / stride. */
static ptrdiff_t first_j(const pqc_conv_axis *a, ptrdiff_t sub)
{
    return a->before > sub ? (a->before - sub + a->stride - 1) / a->stride : 0;
}

static ptrdiff_t back(const pqc_conv_axis *a, pqc_conv_taps taps, ptrdiff_t sub, ptrdiff_t i)
{
    return ((taps.first + i * taps.step) * a->dilation - sub) / a->stride;
}

pqc_conv_range pqc_conv_axis_outputs(const pqc_conv_shape *shape, const pqc_conv_view *view,
                                     int axis, ptrdiff_t sub)
{
    const pqc_conv_axis *a = &shape->axis[axis];
    ptrdiff_t out = view->axis[axis].out;
    if (!shape->transposed)
        return (pqc_conv_range){0, 1, out};
    ptrdiff_t first = first_j(a, sub) * a->stride + sub - a->before;
    return (pqc_conv_range){first, a->stride, first < out ? (out - 1 - first) / a->stride + 1 : 0};
}

ptrdiff_t pqc_conv_axis_place(const pqc_conv_shape *shape, const pqc_conv_view *view, int axis,
                              ptrdiff_t sub, ptrdiff_t i)
{
    const pqc_conv_axis *a = &shape->axis[axis];
    if (shape->transposed) {
        pqc_conv_taps taps = pqc_conv_axis_taps(shape, axis, sub);
        ptrdiff_t coordinate = first_j(a, sub) - back(a, taps, sub, i) + view->axis[axis].before;
        return coordinate * pqc_conv_pitch(view, axis);
    }
    ptrdiff_t slot_pitch = pqc_conv_pitch(view, -1);
    for (int later = axis + 1; later < PQC_AXES; later++)
        slot_pitch *= view->axis[later].phases;
    return i % period_of(a) * slot_pitch + i * a->dilation / a->stride * pqc_conv_pitch(view, axis);
}

/* Over all subconvolutions: the border before the first input, and the extent of a phase. */
static void transposed_layout(pqc_conv_view *view, const pqc_conv_shape *shape, int axis)
{
    const pqc_conv_axis *a = &shape->axis[axis];
    pqc_conv_axis_layout *plane = &view->axis[axis];
    ptrdiff_t before = 0, reach = 0;
    for (ptrdiff_t sub = 0; sub < a->stride; sub++) {
        pqc_conv_taps taps = pqc_conv_axis_taps(shape, axis, sub);
        pqc_conv_range range = pqc_conv_axis_outputs(shape, view, axis, sub);
        if (taps.count == 0 || range.count == 0)
            continue;
        ptrdiff_t j = first_j(a, sub);
        before = pqc_max(before, back(a, taps, sub, taps.count - 1) - j);
        reach = pqc_max(reach, j + range.count - back(a, taps, sub, 0));
    }
    plane->before = before;
    plane->size = before + pqc_max(reach, 1);
    plane->phases = 1;
}

/* AMX reads 16 c4 blocks at a time.  An odd number of cache lines between blocks keeps them in different L1 sets. */
static ptrdiff_t amx_block_stride(ptrdiff_t dwords)
{
    return ((dwords + 15) / 16 | 1) * 16;
}

bool pqc_conv_view_init(pqc_conv_view *view, const pqc_conv_shape *shape,
                        const ptrdiff_t size[PQC_AXES])
{
    *view = (pqc_conv_view){.c4_blocks = shape->kw4 ? shape->in : (shape->in + 3) / 4,
                            .element = shape->kw4 ? 1 : 4,
                            .block_stride = 1,
                            .inputs = 1,
                            .outputs = 1};
    for (int axis = 0; axis < PQC_AXES; axis++) {
        const pqc_conv_axis *a = &shape->axis[axis];
        pqc_conv_axis_layout *plane = &view->axis[axis];
        if (size[axis] > INT32_MAX)
            return false;
        plane->in = size[axis];
        plane->out = pqc_conv_outputs(shape, axis, size[axis]);
        if (plane->out < 1 || plane->out > MAX_OUTPUTS / view->outputs)
            return false;
        if (shape->transposed) {
            transposed_layout(view, shape, axis);
        } else {
            plane->before = a->before;
            plane->phases = shape->kw4 ? 1 : pqc_min(a->kernel, period_of(a));
            plane->size = shape->kw4
                              ? (plane->out - 1) * a->stride + (a->kernel - 1) * a->dilation + 1
                              : plane->out + (a->kernel - 1) * a->dilation / a->stride;
        }
        view->inputs *= plane->in;
        view->outputs *= plane->out;
        if (plane->size * plane->phases > INT32_MAX / view->block_stride)
            return false;
        view->block_stride *= plane->size * plane->phases;
    }
    if (shape->amx && !shape->kw4)
        view->block_stride = amx_block_stride(view->block_stride);
    return view->block_stride <= (INT32_MAX - READ_AHEAD) / view->element / view->c4_blocks;
}

ptrdiff_t pqc_conv_image_bytes(const pqc_conv_view *view, const pqc_conv_shape *shape)
{
    return shape->groups * view->c4_blocks * view->block_stride * view->element + READ_AHEAD;
}
