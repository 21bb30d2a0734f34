#include "im2col.h"

#include <string.h>

/* Where one line of positions meets one line of the plane. */
typedef struct {
    bool inside;            /* the line of the plane exists */
    ptrdiff_t line;         /* index of its first element in the plane */
    ptrdiff_t first, count; /* positions that lie inside the line */
    ptrdiff_t at;           /* element of the line that position `first` meets */
} meeting;

static inline ptrdiff_t coordinate(const pqc_window *w, int axis, ptrdiff_t o, ptrdiff_t k)
{
    return o * w->stride[axis] + k * w->dilation[axis] - w->padding[axis];
}

/* k: kernel element; (z, y): position in the two outer dimensions. */
static inline meeting meet(const pqc_window *w, const ptrdiff_t k[3], ptrdiff_t z, ptrdiff_t y)
{
    ptrdiff_t d = coordinate(w, 0, z, k[0]), h = coordinate(w, 1, y, k[1]);
    ptrdiff_t start = coordinate(w, 2, 0, k[2]), step = w->stride[2], size = w->size[2];
    meeting m = {0};
    m.inside = d >= 0 && d < w->size[0] && h >= 0 && h < w->size[1];
    m.line = m.inside ? (d * w->size[1] + h) * size : 0;
    m.first = start < 0 ? (-start + step - 1) / step : 0;
    ptrdiff_t last = start < size ? (size - 1 - start) / step + 1 : 0; /* one past */
    last = last < w->out[2] ? last : w->out[2];
    m.count = last > m.first ? last - m.first : 0;
    m.at = start + m.first * step;
    return m;
}

static inline void split(const pqc_window *w, ptrdiff_t number, ptrdiff_t k[3])
{
    k[2] = number % w->kernel[2];
    k[1] = number / w->kernel[2] % w->kernel[1];
    k[0] = number / (w->kernel[2] * w->kernel[1]);
}

/* n elements, `step` apart in the source, side by side in the target.  The size is a constant at
 * each call: memcpy becomes one move. */
static inline void gather(const char *from, char *to, ptrdiff_t n, ptrdiff_t step, size_t item)
{
    for (ptrdiff_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * item, from + (size_t)(i * step) * item, item);
}

static void copy_line(const char *from, char *to, ptrdiff_t n, ptrdiff_t step, size_t item)
{
    if (step == 1)
        memcpy(to, from, (size_t)n * item);
    else if (item == 4)
        gather(from, to, n, step, 4);
    else if (item == 8)
        gather(from, to, n, step, 8);
    else if (item == 2)
        gather(from, to, n, step, 2);
    else
        gather(from, to, n, step, 1);
}

static void fill_row(const char *plane, char *row, const ptrdiff_t k[3], size_t item,
                     const pqc_window *w)
{
    size_t width = (size_t)w->out[2];
    for (ptrdiff_t z = 0; z < w->out[0]; z++)
        for (ptrdiff_t y = 0; y < w->out[1]; y++, row += width * item) {
            meeting m = meet(w, k, z, y);
            if (!m.inside || m.count == 0) {
                memset(row, 0, width * item);
                continue;
            }
            size_t before = (size_t)m.first, through = (size_t)(m.first + m.count);
            memset(row, 0, before * item);
            copy_line(plane + (size_t)(m.line + m.at) * item, row + before * item, m.count,
                      w->stride[2], item);
            memset(row + through * item, 0, (width - through) * item);
        }
}

void pqc_im2col_scalar(const void *x, void *columns, ptrdiff_t begin, ptrdiff_t end, size_t item,
                       const pqc_window *w)
{
    ptrdiff_t elements = pqc_product3(w->kernel);
    size_t plane = (size_t)pqc_product3(w->size) * item, row = (size_t)pqc_product3(w->out) * item;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t k[3];
        split(w, i % elements, k);
        fill_row((const char *)x + (size_t)(i / elements) * plane,
                 (char *)columns + (size_t)i * row, k, item, w);
    }
}

static void add_row_f32(const float *row, float *plane, const ptrdiff_t k[3], const pqc_window *w)
{
    ptrdiff_t step = w->stride[2];
    for (ptrdiff_t z = 0; z < w->out[0]; z++)
        for (ptrdiff_t y = 0; y < w->out[1]; y++, row += w->out[2]) {
            meeting m = meet(w, k, z, y);
            if (!m.inside)
                continue;
            const float *from = row + m.first;
            float *to = plane + m.line + m.at;
            if (step == 1)
                for (ptrdiff_t i = 0; i < m.count; i++)
                    to[i] += from[i];
            else
                for (ptrdiff_t i = 0; i < m.count; i++)
                    to[i * step] += from[i];
        }
}

static void add_row_f64(const double *row, double *plane, const ptrdiff_t k[3], const pqc_window *w)
{
    for (ptrdiff_t z = 0; z < w->out[0]; z++)
        for (ptrdiff_t y = 0; y < w->out[1]; y++, row += w->out[2]) {
            meeting m = meet(w, k, z, y);
            if (!m.inside)
                continue;
            for (ptrdiff_t i = 0; i < m.count; i++)
                plane[m.line + m.at + i * w->stride[2]] += row[m.first + i];
        }
}

void pqc_col2im_f32_scalar(const float *columns, float *y, ptrdiff_t begin, ptrdiff_t end,
                           const pqc_window *w)
{
    ptrdiff_t elements = pqc_product3(w->kernel), size = pqc_product3(w->size);
    ptrdiff_t positions = pqc_product3(w->out);
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        memset(y + plane * size, 0, (size_t)size * sizeof *y);
        for (ptrdiff_t number = 0; number < elements; number++) {
            ptrdiff_t k[3];
            split(w, number, k);
            add_row_f32(columns + (plane * elements + number) * positions, y + plane * size, k, w);
        }
    }
}

void pqc_col2im_f64_scalar(const double *columns, double *y, ptrdiff_t begin, ptrdiff_t end,
                           const pqc_window *w)
{
    ptrdiff_t elements = pqc_product3(w->kernel), size = pqc_product3(w->size);
    ptrdiff_t positions = pqc_product3(w->out);
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        memset(y + plane * size, 0, (size_t)size * sizeof *y);
        for (ptrdiff_t number = 0; number < elements; number++) {
            ptrdiff_t k[3];
            split(w, number, k);
            add_row_f64(columns + (plane * elements + number) * positions, y + plane * size, k, w);
        }
    }
}
