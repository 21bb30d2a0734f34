#include "check.h"
#include "dispatch.h"
#include "im2col.h"
#include "tests.h"

enum { WINDOWS = 300, IMAGES = 2, CHANNELS = 2 };

static ptrdiff_t draw(ptrdiff_t low, ptrdiff_t high)
{
    return low + (ptrdiff_t)(random_bits() % (uint32_t)(high - low + 1));
}

static pqc_window draw_window(void)
{
    pqc_window w;
    for (int axis = 0; axis < 3; axis++) {
        w.size[axis] = draw(0, axis == 2 ? 40 : 4);
        w.kernel[axis] = draw(1, 3);
        w.stride[axis] = draw(1, 3);
        w.padding[axis] = draw(0, 3);
        w.dilation[axis] = draw(1, 3);
        w.out[axis] =
            draw(0, axis == 2 ? 40 : 4); /* too many positions are legal: they read zeros */
    }
    return w;
}

/* The element that kernel element k meets at position o, both counted in C order, or -1: none. */
static ptrdiff_t source(const pqc_window *w, ptrdiff_t k, ptrdiff_t o)
{
    ptrdiff_t at = 0, scale = 1;
    for (int axis = 2; axis >= 0; axis--) {
        ptrdiff_t n = (o % w->out[axis]) * w->stride[axis] +
                      (k % w->kernel[axis]) * w->dilation[axis] - w->padding[axis];
        if (n < 0 || n >= w->size[axis])
            return -1;
        at += n * scale;
        scale *= w->size[axis];
        o /= w->out[axis];
        k /= w->kernel[axis];
    }
    return at;
}

static void check_im2col(buffer *in, buffer *out, const pqc_window *w, size_t gap)
{
    ptrdiff_t size = pqc_product3(w->size), positions = pqc_product3(w->out);
    ptrdiff_t elements = pqc_product3(w->kernel), rows = CHANNELS * elements;
    for (size_t item = 1; item <= 8; item *= 2) {
        size_t bytes = (size_t)(rows * IMAGES * positions) * item;
        if (bytes > BUFFER_BYTES - 4096)
            continue;
        unsigned char *x = buffer_place(in, (size_t)(IMAGES * CHANNELS * size) * item, gap);
        for (ptrdiff_t i = 0; i < IMAGES * CHANNELS * size * (ptrdiff_t)item; i++)
            x[i] = (unsigned char)(random_bits() | 1);
        unsigned char *columns = buffer_place(out, bytes, gap);
        ptrdiff_t middle = draw(0, rows);
        pqc_im2col_rows(x, columns, IMAGES, CHANNELS, 0, middle, item, w);
        pqc_im2col_rows(x, columns, IMAGES, CHANNELS, middle, rows, item, w);
        for (ptrdiff_t i = 0; i < rows * IMAGES * positions; i++) {
            ptrdiff_t o = i % positions, image = i / positions % IMAGES;
            ptrdiff_t row = i / positions / IMAGES;
            ptrdiff_t from = source(w, row % elements, o);
            ptrdiff_t plane = image * CHANNELS + row / elements;
            for (size_t b = 0; b < item; b++) {
                int wanted = from < 0 ? 0 : x[(size_t)(plane * size + from) * item + b];
                CHECK(columns[(size_t)i * item + b] == wanted, "im2col, item %zu, row %td, o %td",
                      item, row, o);
            }
        }
        CHECK(buffer_guards_intact(out), "im2col, item %zu", item);
    }
}

/* Small whole numbers: sums are exact in any order. */
static void check_col2im(buffer *in, buffer *out, const pqc_window *w, size_t gap)
{
    static double wanted[4 * 4 * 40];
    ptrdiff_t size = pqc_product3(w->size), positions = pqc_product3(w->out);
    ptrdiff_t n = pqc_product3(w->kernel) * positions;
    if ((size_t)n * sizeof(double) > BUFFER_BYTES - 4096)
        return;
    float *from = buffer_place(in, (size_t)n * sizeof *from, gap);
    float *to = buffer_place(out, (size_t)size * sizeof *to, gap);
    for (ptrdiff_t i = 0; i < size; i++)
        wanted[i] = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t at = source(w, i / positions, i % positions);
        from[i] = (float)draw(-8, 8);
        if (at >= 0)
            wanted[at] += (double)from[i];
    }
    pqc_col2im_planes(from, to, 0, 1, sizeof *to, w);
    for (ptrdiff_t i = 0; i < size; i++)
        CHECK((double)to[i] == wanted[i], "col2im f32, element %td", i);
    CHECK(buffer_guards_intact(out), "col2im f32, size %td", size);
    static double wide[27 * 4 * 4 * 40];
    for (ptrdiff_t i = 0; i < n; i++)
        wide[i] = (double)from[i];
    double *to64 = buffer_place(out, (size_t)size * sizeof *to64, gap);
    pqc_col2im_planes(wide, to64, 0, 1, sizeof *to64, w);
    for (ptrdiff_t i = 0; i < size; i++)
        CHECK(to64[i] == wanted[i], "col2im f64, element %td", i);
    CHECK(buffer_guards_intact(out), "col2im f64, size %td", size);
}

void test_im2col(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    for (int i = 0; i < WINDOWS; i++) {
        pqc_window w = draw_window();
        check_im2col(&in, &out, &w, (size_t)(i % 3) * 8);
        check_col2im(&in, &out, &w, (size_t)(i % 3) * 8);
    }
    buffer_close(&in);
    buffer_close(&out);
}
