/* im2col of 1, 2, 4 and 8 byte elements and its adjoint for floats and doubles, as copies and additions of lines. */
#include "im2col.h"

#include "parallel.h"

#include <string.h>

/* One line of output positions against one line of the plane: positions [first, first + count) lie inside the plane,
 * the first of them at element `at`.  It is the same for every line of a kernel element. */
typedef struct {
    ptrdiff_t first, count, at;
} overlap;

static overlap overlap_of(const pqc_window *w, ptrdiff_t k)
{
    ptrdiff_t start = k * w->dilation[2] - w->padding[2], step = w->stride[2], size = w->size[2];
    overlap o = {0};
    o.first = start < 0 ? (-start + step - 1) / step : 0;
    ptrdiff_t last = start < size ? (size - 1 - start) / step + 1 : 0; /* one past */
    last = last < w->out[2] ? last : w->out[2];
    o.first = o.first < w->out[2] ? o.first : w->out[2];
    o.count = last > o.first ? last - o.first : 0;
    o.at = o.count ? start + o.first * step : 0;
    return o;
}

/* Index of the plane's line that kernel element k reads at (z, y); -1 if it lies outside. */
static inline ptrdiff_t line_of(const pqc_window *w, const ptrdiff_t k[3], ptrdiff_t z, ptrdiff_t y)
{
    ptrdiff_t d = z * w->stride[0] + k[0] * w->dilation[0] - w->padding[0];
    ptrdiff_t h = y * w->stride[1] + k[1] * w->dilation[1] - w->padding[1];
    bool inside = d >= 0 && d < w->size[0] && h >= 0 && h < w->size[1];
    return inside ? (d * w->size[1] + h) * w->size[2] : -1;
}

static inline void split(const pqc_window *w, ptrdiff_t number, ptrdiff_t k[3])
{
    k[2] = number % w->kernel[2];
    k[1] = number / w->kernel[2] % w->kernel[1];
    k[0] = number / (w->kernel[2] * w->kernel[1]);
}

/* Copies n elements, `step` apart in the source, to contiguous places.  The size is a constant at each call, so
 * memcpy becomes one move. */
static inline void gather(const char *from, char *to, ptrdiff_t n, ptrdiff_t step, size_t item)
{
    for (ptrdiff_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * item, from + (size_t)(i * step) * item, item);
}

/* Lines are short: 32-byte moves finish before a call of memcpy would have started. */
static inline void copy_bytes(const char *from, char *to, size_t n)
{
    size_t i = 0;
    if (n > 512) {
        memcpy(to, from, n);
        return;
    }
    for (; i + 32 <= n; i += 32)
        memcpy(to + i, from + i, 32);
    for (; i + 4 <= n; i += 4)
        memcpy(to + i, from + i, 4);
    for (; i < n; i++)
        to[i] = from[i];
}

static inline void copy_line(const char *from, char *to, ptrdiff_t n, ptrdiff_t step, size_t item)
{
    if (step == 1)
        copy_bytes(from, to, (size_t)n * item);
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
    overlap o = overlap_of(w, k[2]);
    size_t width = (size_t)w->out[2] * item, before = (size_t)o.first * item;
    size_t through = before + (size_t)o.count * item;
    for (ptrdiff_t z = 0; z < w->out[0]; z++)
        for (ptrdiff_t y = 0; y < w->out[1]; y++, row += width) {
            ptrdiff_t line = line_of(w, k, z, y);
            if (line < 0 || o.count == 0) {
                memset(row, 0, width);
                continue;
            }
            if (before)
                memset(row, 0, before);
            copy_line(plane + (size_t)(line + o.at) * item, row + before, o.count, w->stride[2],
                      item);
            if (through < width)
                memset(row + through, 0, width - through);
        }
}

void pqc_im2col_rows(const void *x, void *columns, ptrdiff_t images, ptrdiff_t channels,
                     ptrdiff_t begin, ptrdiff_t end, size_t item, const pqc_window *w)
{
    ptrdiff_t elements = pqc_product3(w->kernel);
    size_t plane = (size_t)pqc_product3(w->size) * item, row = (size_t)pqc_product3(w->out) * item;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t k[3];
        split(w, i % elements, k);
        for (ptrdiff_t image = 0; image < images; image++)
            fill_row((const char *)x + (size_t)(image * channels + i / elements) * plane,
                     (char *)columns + (size_t)(i * images + image) * row, k, item, w);
    }
}

/* to[i * step] += from[i]; step 1 has a loop of its own. */
static void add_line_f32(const float *from, float *to, ptrdiff_t n, ptrdiff_t step)
{
    if (step == 1)
        for (ptrdiff_t i = 0; i < n; i++)
            to[i] += from[i];
    else
        for (ptrdiff_t i = 0; i < n; i++)
            to[i * step] += from[i];
}

static void add_line_f64(const double *from, double *to, ptrdiff_t n, ptrdiff_t step)
{
    for (ptrdiff_t i = 0; i < n; i++)
        to[i * step] += from[i];
}

static void add_row(const char *row, char *plane, const ptrdiff_t k[3], size_t item,
                    const pqc_window *w)
{
    overlap o = overlap_of(w, k[2]);
    ptrdiff_t step = w->stride[2], size = (ptrdiff_t)item;
    for (ptrdiff_t z = 0; z < w->out[0]; z++)
        for (ptrdiff_t y = 0; y < w->out[1]; y++, row += w->out[2] * size) {
            ptrdiff_t line = line_of(w, k, z, y);
            if (line < 0)
                continue;
            const void *from = row + o.first * size;
            void *to = plane + (line + o.at) * size;
            if (item == sizeof(float))
                add_line_f32(from, to, o.count, step);
            else
                add_line_f64(from, to, o.count, step);
        }
}

void pqc_col2im_planes(const void *columns, void *y, ptrdiff_t begin, ptrdiff_t end, size_t item,
                       const pqc_window *w)
{
    ptrdiff_t elements = pqc_product3(w->kernel), positions = pqc_product3(w->out);
    size_t size = (size_t)pqc_product3(w->size) * item;
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        char *to = (char *)y + (size_t)plane * size;
        memset(to, 0, size);
        for (ptrdiff_t number = 0; number < elements; number++) {
            ptrdiff_t k[3], row = (plane * elements + number) * positions;
            split(w, number, k);
            add_row((const char *)columns + (size_t)row * item, to, k, item, w);
        }
    }
}

static void copy_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_im2col_work *w = context;
    pqc_im2col_rows(w->from, w->to, w->images, w->channels, begin, end, w->item, &w->window);
}

static void add_planes(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_im2col_work *w = context;
    pqc_col2im_planes(w->from, w->to, begin, end, w->item, &w->window);
}

/* Tasks of `elements` each that are worth a thread. */
static ptrdiff_t grain_of(ptrdiff_t elements)
{
    return 1 + (16 << 10) / (elements + 1);
}

void pqc_im2col(pqc_im2col_work *w)
{
    ptrdiff_t rows = w->channels * pqc_product3(w->window.kernel);
    pqc_parallel(rows, grain_of(w->images * pqc_product3(w->window.out)), copy_rows, w);
}

void pqc_col2im(pqc_im2col_work *w)
{
    ptrdiff_t of_plane = pqc_product3(w->window.kernel) * pqc_product3(w->window.out);
    pqc_parallel(w->images * w->channels, grain_of(of_plane), add_planes, w);
}
