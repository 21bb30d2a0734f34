/* Quantises one float32 image to bytes and packs them as nChw4c (or tap-packed), with borders and stride phases. */
#include "conv_pack_input.h"

#include "dispatch.h"

#include <string.h>

/* columns quantised at a time before a stride spreads them over the phases */
enum { STRETCH = 512 };

/* A run of neighbouring rows of one c4 block (tap-packed: of one channel), with all its phases along x. */
typedef struct {
    const pqc_conv_image *image;
    const float *x; /* first row of the first channel */
    uint8_t *y;     /* first row in phase 0 */
    ptrdiff_t rows, x_row, y_row, phase;
    int channels;
} row_run;

static void fill(const pqc_conv_image *image, uint8_t *y, ptrdiff_t elements)
{
    memset(y, image->q.zero, (size_t)(elements * image->view->element));
}

/* Fills the borders.  The rows of a phase are contiguous. */
static void border_rows(row_run run)
{
    const pqc_conv_axis_layout *layout = &run.image->view->axis[2];
    for (ptrdiff_t phase = 0; phase < layout->phases; phase++)
        fill(run.image, run.y + phase * run.phase, run.rows * layout->size);
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

/* Without phases, a row of the packed image is a row of inputs between its borders. */
static unsigned plain_rows(row_run run)
{
    const pqc_conv_axis_layout *layout = &run.image->view->axis[2];
    ptrdiff_t element = run.image->view->element;
    ptrdiff_t before = layout->before < layout->size ? layout->before : layout->size;
    ptrdiff_t room = layout->size - before, n = room < layout->in ? room : layout->in;
    if (layout->size > n)
        fill(run.image, run.y, run.rows * layout->size); /* faster than two small fills a row */
    pqc_u8_rows rows = rows_of(run);
    rows.y += before * element;
    rows.n = n;
    if (layout->size == n && run.x_row == n) { /* no borders: quantise all rows as one */
        rows.n = n * run.rows;
        rows.rows = 1;
    }
    return run.image->shape->kw4 ? pqc.pack_u8(&rows) : pqc.pack_u8_c4(&rows);
}

/* Stride 2: the kernel writes both phases, or the only one stored.  Inputs past the end of a row are not read. */
static unsigned deinterleaved_rows(row_run run)
{
    const pqc_conv_axis_layout *layout = &run.image->view->axis[2];
    ptrdiff_t room = 2 * layout->size - layout->before, element = run.image->view->element;
    uint8_t *one = layout->phases > 1 ? run.y + run.phase : NULL; /* phase of the odd coordinates */
    pqc_u8_rows rows = rows_of(run);
    border_rows(run);
    if (room <= 0)
        return 0;
    rows.n = pqc_min(layout->in, room);
    rows.deinterleave = true;
    if (layout->before % 2 == 0) {
        rows.y = run.y + layout->before / 2 * element;
        rows.odd = one ? one + layout->before / 2 * element : NULL;
    } else {
        rows.y = one ? one + layout->before / 2 * element : NULL;
        rows.odd = run.y + (layout->before + 1) / 2 * element;
    }
    return pqc.pack_u8_c4(&rows);
}

static void pick(uint32_t *restrict y, const uint32_t *restrict x, ptrdiff_t n, ptrdiff_t stride)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = x[stride * i];
}

/* Scatters quantised c4 blocks, from input column `column` on, to the phases of their coordinates. */
static void spread(row_run run, const uint32_t *c4, ptrdiff_t column, ptrdiff_t n)
{
    const pqc_conv_axis_layout *layout = &run.image->view->axis[2];
    const pqc_conv_axis *a = &run.image->shape->axis[2];
    for (ptrdiff_t phase = 0; phase < layout->phases; phase++) {
        ptrdiff_t remainder = phase * a->dilation % a->stride;
        ptrdiff_t low = column + layout->before - remainder;
        ptrdiff_t place = low > 0 ? (low + a->stride - 1) / a->stride : 0;
        ptrdiff_t first = place * a->stride - low;
        ptrdiff_t count = first < n ? (n - 1 - first) / a->stride + 1 : 0;
        count = count < layout->size - place ? count : layout->size - place;
        pick((uint32_t *)(void *)(run.y + phase * run.phase) + place, c4 + first, count, a->stride);
    }
}

static unsigned strided_rows(row_run run)
{
    uint32_t c4[STRETCH];
    unsigned flags = 0;
    border_rows(run);
    pqc_u8_rows row = rows_of(run);
    row.y = (uint8_t *)c4;
    row.rows = 1;
    for (ptrdiff_t left = run.rows; left > 0; left--, run.y += run.y_row, run.x += run.x_row)
        for (ptrdiff_t column = 0; column < run.image->view->axis[2].in; column += STRETCH) {
            ptrdiff_t rest = run.image->view->axis[2].in - column;
            row.x = run.x + column;
            row.n = rest < STRETCH ? rest : STRETCH;
            flags |= pqc.pack_u8_c4(&row);
            spread(run, c4, column, row.n);
        }
    return flags;
}

/* How many input rows (or z slices) apart neighbours of a phase are, and the input of the first; outside [0, in)
 * there is only border. */
static ptrdiff_t step_of(const pqc_conv_image *image, int axis)
{
    return image->shape->transposed || image->shape->kw4 ? 1 : image->shape->axis[axis].stride;
}

static ptrdiff_t first_of(const pqc_conv_image *image, int axis, ptrdiff_t phase)
{
    const pqc_conv_axis *a = &image->shape->axis[axis];
    ptrdiff_t before = image->view->axis[axis].before;
    return step_of(image, axis) == 1 ? -before : phase * a->dilation % a->stride - before;
}

/* Rows [y, y + run.rows) of a plane whose row 0 reads input `first`: borders, and the inputs between them. */
static unsigned rows_of_plane(row_run run, ptrdiff_t first, ptrdiff_t y)
{
    const pqc_conv_axis_layout *layout = &run.image->view->axis[1];
    ptrdiff_t step = step_of(run.image, 1), end = y + run.rows;
    const float *x = run.x;
    bool plain = step_of(run.image, 2) == 1;
    ptrdiff_t low = first < 0 ? (-first + step - 1) / step : 0; /* rows [low, high) have inputs */
    ptrdiff_t high = first < layout->in ? (layout->in - 1 - first) / step + 1 : 0;
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
           : run.image->shape->axis[2].stride == 2 ? deinterleaved_rows(part)
                                                   : strided_rows(part);
}

/* Splits the lowest base-n digit off a number.  Base 1 takes no division: divisions would dominate small images. */
static ptrdiff_t digit(ptrdiff_t *number, ptrdiff_t n)
{
    if (n == 1)
        return 0;
    ptrdiff_t rest = *number % n;
    *number /= n;
    return rest;
}

/* Quantises `rows` rows of one plane from row number `index`.  Rows are numbered (group, c4 block, phase z, phase y,
 * z, y), y fastest. */
static unsigned quantize_rows_at(const pqc_conv_image *image, ptrdiff_t index, ptrdiff_t rows)
{
    const pqc_conv_view *view = image->view;
    const pqc_conv_axis_layout *pz = &view->axis[0], *py = &view->axis[1], *px = &view->axis[2];
    ptrdiff_t rest = index, y = digit(&rest, py->size), z = digit(&rest, pz->size);
    ptrdiff_t phase_y = digit(&rest, py->phases), phase_z = digit(&rest, pz->phases), plane = rest;
    ptrdiff_t c4 = digit(&rest, view->c4_blocks), group = rest, width = image->shape->kw4 ? 1 : 4;
    ptrdiff_t channel = c4 * width, left = image->shape->in - channel;
    ptrdiff_t pitch = pz->size * py->size * px->size;
    row_run run = {.image = image, .rows = rows, .channels = left < width ? (int)left : (int)width};
    run.phase = pitch * view->element;
    run.y_row = px->size * view->element;
    run.y = image->bytes + plane * view->block_stride * view->element +
            (phase_z * py->phases + phase_y) * px->phases * run.phase +
            (z * py->size + y) * run.y_row;
    ptrdiff_t iz = first_of(image, 0, phase_z) + z * step_of(image, 0);
    if (iz < 0 || iz >= pz->in) {
        border_rows(run);
        return 0;
    }
    run.x = image->x + (group * image->shape->in + channel) * view->inputs + iz * py->in * px->in;
    return rows_of_plane(run, first_of(image, 1, phase_y), y);
}

ptrdiff_t pqc_conv_image_rows(const pqc_conv_image *image)
{
    ptrdiff_t rows = image->shape->groups * image->view->c4_blocks;
    for (int axis = 0; axis < 2; axis++)
        rows *= image->view->axis[axis].phases * image->view->axis[axis].size;
    return rows;
}

/* Goes backwards: the end of the image, read last when its amax was taken, is still cached. */
void pqc_conv_image_quantize(pqc_conv_image *image, ptrdiff_t begin, ptrdiff_t end)
{
    unsigned flags = 0;
    ptrdiff_t height = image->view->axis[1].size;
    for (ptrdiff_t i = end; i > begin;) {
        ptrdiff_t of_plane = (i - 1) % height + 1, rows = pqc_min(of_plane, i - begin);
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
