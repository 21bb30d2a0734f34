#include "conv_pack_input.h"

#include "dispatch.h"

#include <string.h>

enum { STRIP = 512 }; /* columns quantised at a time when a stride spreads them over phases */

/* Neighbouring rows of a quad (in columns: of a channel), in all their slots along x. */
typedef struct {
    const pqc_conv_image *image;
    const float *x; /* the first channel's first row */
    uint8_t *y;     /* the first row in slot 0 */
    ptrdiff_t rows, x_row, y_row, slot;
    int channels;
} row_run;

static void fill(const pqc_conv_image *image, uint8_t *y, ptrdiff_t elements)
{
    memset(y, image->q.zero, (size_t)(elements * image->view->element));
}

/* A slot's rows follow each other without gaps. */
static void border_rows(row_run run)
{
    const pqc_conv_plane *plane = &run.image->view->axis[2];
    for (ptrdiff_t slot = 0; slot < plane->slots; slot++)
        fill(run.image, run.y + slot * run.slot, run.rows * plane->size);
}

static pqc_u8_rows rows_of(row_run run)
{
    return (pqc_u8_rows){.x = run.x,
                         .y = run.y,
                         .x_row = run.x_row,
                         .y_row = run.y_row,
                         .rows = run.rows,
                         .n = run.image->view->axis[2].in,
                         .channel = run.image->view->inputs,
                         .channels = run.channels,
                         .q = run.image->q};
}

/* Without phases a row of inputs is a row of the plane, between its borders. */
static unsigned plain_rows(row_run run)
{
    const pqc_conv_plane *plane = &run.image->view->axis[2];
    ptrdiff_t element = run.image->view->element;
    ptrdiff_t before = plane->before < plane->size ? plane->before : plane->size;
    ptrdiff_t room = plane->size - before, n = room < plane->in ? room : plane->in;
    if (plane->size > n)
        fill(run.image, run.y, run.rows * plane->size); /* faster than two small fills a row */
    pqc_u8_rows rows = rows_of(run);
    rows.y += before * element;
    rows.n = n;
    if (plane->size == n && run.x_row == n) { /* no border between them: one long row */
        rows.n = n * run.rows;
        rows.rows = 1;
    }
    return run.image->shape->columns ? pqc.quantize_u8(&rows) : pqc.quantize_u8_quads(&rows);
}

/* A stride of 2: the kernel writes both phases, or the one there is.  Columns past the plane's end are not used. */
static unsigned rows_apart(row_run run)
{
    const pqc_conv_plane *plane = &run.image->view->axis[2];
    ptrdiff_t room = 2 * plane->size - plane->before, element = run.image->view->element;
    uint8_t *one = plane->slots > 1 ? run.y + run.slot : NULL; /* of the odd coordinates */
    pqc_u8_rows rows = rows_of(run);
    border_rows(run);
    if (room <= 0)
        return 0;
    rows.n = pqc_least(plane->in, room);
    rows.apart = true;
    if (plane->before % 2 == 0) {
        rows.y = run.y + plane->before / 2 * element;
        rows.odd = one ? one + plane->before / 2 * element : NULL;
    } else {
        rows.y = one ? one + plane->before / 2 * element : NULL;
        rows.odd = run.y + (plane->before + 1) / 2 * element;
    }
    return pqc.quantize_u8_quads(&rows);
}

static void pick(uint32_t *restrict y, const uint32_t *restrict x, ptrdiff_t n, ptrdiff_t stride)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = x[stride * i];
}

/* The columns from `column` on, already quads, to the slots' places whose coordinate they are. */
static void spread(row_run run, const uint32_t *quads, ptrdiff_t column, ptrdiff_t n)
{
    const pqc_conv_plane *plane = &run.image->view->axis[2];
    const pqc_conv_axis *a = &run.image->shape->axis[2];
    for (ptrdiff_t slot = 0; slot < plane->slots; slot++) {
        ptrdiff_t phase = slot * a->dilation % a->stride, low = column + plane->before - phase;
        ptrdiff_t place = low > 0 ? (low + a->stride - 1) / a->stride : 0;
        ptrdiff_t first = place * a->stride - low;
        ptrdiff_t count = first < n ? (n - 1 - first) / a->stride + 1 : 0;
        count = count < plane->size - place ? count : plane->size - place;
        pick((uint32_t *)(void *)(run.y + slot * run.slot) + place, quads + first, count,
             a->stride);
    }
}

static unsigned strided_rows(row_run run)
{
    uint32_t quads[STRIP];
    unsigned flags = 0;
    border_rows(run);
    pqc_u8_rows row = rows_of(run);
    row.y = (uint8_t *)quads;
    row.rows = 1;
    for (ptrdiff_t left = run.rows; left > 0; left--, run.y += run.y_row, run.x += run.x_row)
        for (ptrdiff_t column = 0; column < run.image->view->axis[2].in; column += STRIP) {
            ptrdiff_t rest = run.image->view->axis[2].in - column;
            row.x = run.x + column;
            row.n = rest < STRIP ? rest : STRIP;
            flags |= pqc.quantize_u8_quads(&row);
            spread(run, quads, column, row.n);
        }
    return flags;
}

/* The step between the inputs of neighbouring rows or layers of a slot, and the input of the first;
 * outside of [0, in) there is only border. */
static ptrdiff_t step_of(const pqc_conv_image *image, int axis)
{
    return image->shape->transposed || image->shape->columns ? 1 : image->shape->axis[axis].stride;
}

static ptrdiff_t first_of(const pqc_conv_image *image, int axis, ptrdiff_t slot)
{
    const pqc_conv_axis *a = &image->shape->axis[axis];
    ptrdiff_t before = image->view->axis[axis].before;
    return step_of(image, axis) == 1 ? -before : slot * a->dilation % a->stride - before;
}

/* Rows y to y + run.rows of the plane whose first row has input `first`: borders, and what lies
 * between. */
static unsigned rows_of_plane(row_run run, ptrdiff_t first, ptrdiff_t y)
{
    const pqc_conv_plane *plane = &run.image->view->axis[1];
    ptrdiff_t step = step_of(run.image, 1), end = y + run.rows;
    const float *x = run.x;
    bool plain = step_of(run.image, 2) == 1;
    ptrdiff_t low = first < 0 ? (-first + step - 1) / step : 0; /* rows [low, high) have inputs */
    ptrdiff_t high = first < plane->in ? (plane->in - 1 - first) / step + 1 : 0;
    low = low < y ? y : low > end ? end : low;
    high = high < low ? low : high > end ? end : high;
    row_run part = run;
    part.rows = low - y;
    border_rows(part);
    part.y = run.y + (high - y) * run.y_row;
    part.rows = end - high;
    border_rows(part);
    part.y = run.y + (low - y) * run.y_row;
    part.rows = high - low;
    part.x = x + (first + low * step) * run.image->view->axis[2].in;
    part.x_row = step * run.image->view->axis[2].in;
    return part.rows == 0                          ? 0
           : plain                                 ? plain_rows(part)
           : run.image->shape->axis[2].stride == 2 ? rows_apart(part)
                                                   : strided_rows(part);
}

/* Takes the lowest digit to base n off a number; divisions are what small images would spend their time on. */
static ptrdiff_t digit(ptrdiff_t *number, ptrdiff_t n)
{
    if (n == 1)
        return 0;
    ptrdiff_t rest = *number % n;
    *number /= n;
    return rest;
}

/* `rows` rows from number `index` on, all of one plane: group, quad, slot z, slot y, z, y with y
 * fastest. */
static unsigned quantize_rows_at(const pqc_conv_image *image, ptrdiff_t index, ptrdiff_t rows)
{
    const pqc_conv_view *view = image->view;
    const pqc_conv_plane *pz = &view->axis[0], *py = &view->axis[1], *px = &view->axis[2];
    ptrdiff_t rest = index, y = digit(&rest, py->size), z = digit(&rest, pz->size);
    ptrdiff_t slot_y = digit(&rest, py->slots), slot_z = digit(&rest, pz->slots), plane = rest;
    ptrdiff_t quad = digit(&rest, view->quads), group = rest, width = image->shape->columns ? 1 : 4;
    ptrdiff_t channel = quad * width, left = image->shape->in - channel;
    ptrdiff_t pitch = pz->size * py->size * px->size;
    row_run run = {.image = image, .rows = rows, .channels = left < width ? (int)left : (int)width};
    run.slot = pitch * view->element;
    run.y_row = px->size * view->element;
    run.y = image->bytes + plane * view->plane * view->element +
            (slot_z * py->slots + slot_y) * px->slots * run.slot + (z * py->size + y) * run.y_row;
    ptrdiff_t iz = first_of(image, 0, slot_z) + z * step_of(image, 0);
    if (iz < 0 || iz >= pz->in) {
        border_rows(run);
        return 0;
    }
    run.x = image->x + (group * image->shape->in + channel) * view->inputs + iz * py->in * px->in;
    return rows_of_plane(run, first_of(image, 1, slot_y), y);
}

ptrdiff_t pqc_conv_image_rows(const pqc_conv_image *image)
{
    ptrdiff_t rows = image->shape->groups * image->view->quads;
    for (int axis = 0; axis < 2; axis++)
        rows *= image->view->axis[axis].slots * image->view->axis[axis].size;
    return rows;
}

/* Backwards: the end of the image, which was looked at for its amax last, is still in the cache. */
void pqc_conv_image_quantize(pqc_conv_image *image, ptrdiff_t begin, ptrdiff_t end)
{
    unsigned flags = 0;
    ptrdiff_t height = image->view->axis[1].size;
    for (ptrdiff_t i = end; i > begin;) {
        ptrdiff_t of_plane = (i - 1) % height + 1, rows = pqc_least(of_plane, i - begin);
        i -= rows;
        flags |= quantize_rows_at(image, i, rows);
    }
    if (flags != 0)
        atomic_fetch_or(&image->flags, flags);
}

static void quantize_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    pqc_conv_image_quantize(context, begin, end);
}

unsigned pqc_conv_image_pack(pqc_conv_image *image)
{
    ptrdiff_t row = image->view->element * image->view->axis[2].in + 64;
    ptrdiff_t rows = pqc_conv_image_rows(image);
    pqc_parallel_tasks(rows, rows * row, PQC_IMAGE_GRAIN, quantize_range, image);
    return atomic_load(&image->flags);
}
