#include "conv_image.h"

#include "dispatch.h"

#include <string.h>

enum { STRIP = 512 }; /* columns quantised at a time when a stride spreads them over phases */

/* A row of a quad in all its slots along x. */
typedef struct {
    const pqc_conv_image *image;
    const float *x; /* the first channel's input row; NULL where there is only border */
    int rows;       /* channels */
    uint32_t *y;    /* the row in slot 0 */
    ptrdiff_t slot_pitch;
} row_of_quads;

static uint32_t border_of(const pqc_conv_image *image)
{
    return image->q.zero == 0 ? 0 : 0x80808080u;
}

static void fill(uint32_t *y, uint32_t value, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = value;
}

static unsigned plain_row(row_of_quads row)
{
    const pqc_conv_plane *plane = &row.image->view->axis[2];
    ptrdiff_t before = plane->before < plane->size ? plane->before : plane->size;
    ptrdiff_t room = plane->size - before, n = room < plane->in ? room : plane->in;
    uint32_t border = border_of(row.image);
    fill(row.y, border, before);
    fill(row.y + before + n, border, room - n);
    return pqc.quantize_u8_quads(row.x, row.image->view->inputs, row.rows,
                                 (uint8_t *)(row.y + before), n, row.image->q);
}

/* The columns from `column` on, already quads, to the slots' places whose coordinate they are. */
static void spread(row_of_quads row, const uint32_t *quads, ptrdiff_t column, ptrdiff_t n)
{
    const pqc_conv_plane *plane = &row.image->view->axis[2];
    const pqc_conv_axis *a = &row.image->shape->axis[2];
    for (ptrdiff_t slot = 0; slot < plane->slots; slot++) {
        ptrdiff_t phase = slot * a->dilation % a->stride, low = column + plane->before - phase;
        ptrdiff_t place = low > 0 ? (low + a->stride - 1) / a->stride : 0;
        uint32_t *y = row.y + slot * row.slot_pitch;
        for (ptrdiff_t i = place * a->stride - low; i < n && place < plane->size; i += a->stride)
            y[place++] = quads[i];
    }
}

static unsigned strided_row(row_of_quads row)
{
    const pqc_conv_plane *plane = &row.image->view->axis[2];
    uint32_t quads[STRIP];
    unsigned flags = 0;
    for (ptrdiff_t slot = 0; slot < plane->slots; slot++)
        fill(row.y + slot * row.slot_pitch, border_of(row.image), plane->size);
    for (ptrdiff_t column = 0; column < plane->in; column += STRIP) {
        ptrdiff_t n = plane->in - column < STRIP ? plane->in - column : STRIP;
        flags |= pqc.quantize_u8_quads(row.x + column, row.image->view->inputs, row.rows,
                                       (uint8_t *)quads, n, row.image->q);
        spread(row, quads, column, n);
    }
    return flags;
}

static unsigned border_row(row_of_quads row)
{
    const pqc_conv_plane *plane = &row.image->view->axis[2];
    for (ptrdiff_t slot = 0; slot < plane->slots; slot++)
        fill(row.y + slot * row.slot_pitch, border_of(row.image), plane->size);
    return 0;
}

/* The input coordinate of a plane's row or layer; outside of [0, in) there is only border. */
static ptrdiff_t source_of(const pqc_conv_image *image, int axis, ptrdiff_t slot, ptrdiff_t place)
{
    const pqc_conv_axis *a = &image->shape->axis[axis];
    const pqc_conv_plane *plane = &image->view->axis[axis];
    if (image->shape->transposed)
        return place - plane->before;
    return place * a->stride + slot * a->dilation % a->stride - plane->before;
}

/* Row number `index` of the image: group, quad, slot z, slot y, z, y with y fastest. */
static unsigned quantize_row(const pqc_conv_image *image, ptrdiff_t index)
{
    const pqc_conv_view *view = image->view;
    const pqc_conv_plane *pz = &view->axis[0], *py = &view->axis[1], *px = &view->axis[2];
    ptrdiff_t y = index % py->size, rest = index / py->size, z = rest % pz->size;
    rest /= pz->size;
    ptrdiff_t slot_y = rest % py->slots, slot_z = rest / py->slots % pz->slots;
    ptrdiff_t quad = rest / py->slots / pz->slots, group = quad / view->quads;
    ptrdiff_t channel = quad % view->quads * 4, left = image->shape->in - channel;
    ptrdiff_t pitch = pz->size * py->size * px->size;
    ptrdiff_t iz = source_of(image, 0, slot_z, z), iy = source_of(image, 1, slot_y, y);
    row_of_quads row = {.image = image, .rows = left < 4 ? (int)left : 4, .slot_pitch = pitch};
    row.y = (uint32_t *)(void *)image->bytes + quad * view->plane +
            (slot_z * py->slots + slot_y) * px->slots * pitch + (z * py->size + y) * px->size;
    if (iz < 0 || iz >= pz->in || iy < 0 || iy >= py->in)
        return border_row(row);
    row.x = image->x + (group * image->shape->in + channel) * view->inputs +
            (iz * py->in + iy) * px->in;
    bool plain = image->shape->transposed || image->shape->axis[2].stride == 1;
    return plain ? plain_row(row) : strided_row(row);
}

static void quantize_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    pqc_conv_image *image = context;
    unsigned flags = 0;
    for (ptrdiff_t i = begin; i < end; i++)
        flags |= quantize_row(image, i);
    if (flags != 0)
        atomic_fetch_or(&image->flags, flags);
}

unsigned pqc_conv_image_pack(pqc_conv_image *image)
{
    const pqc_conv_view *view = image->view;
    ptrdiff_t rows = image->shape->groups * view->quads;
    ptrdiff_t row = 4 * view->axis[2].in + 64;
    for (int axis = 0; axis < 2; axis++)
        rows *= view->axis[axis].slots * view->axis[axis].size;
    pqc_parallel(rows, PQC_IMAGE_GRAIN / row + 1, quantize_rows, image);
    return atomic_load(&image->flags);
}
