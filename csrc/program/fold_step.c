/* Windows over rows of one channel, folded: of pixel p of the output, with x the K inputs of its window and those on padding 0,
 *
 *     x[0], x[1] + x[K - 1], x[2] + x[K - 2], ..., x[K / 2 - 1] + x[K / 2 + 1], x[K / 2]
 *     x[0], x[1] - x[K - 1], x[2] - x[K - 2], ..., x[K / 2 - 1] - x[K / 2 + 1], x[K / 2]
 *
 * which kernels that are even, and such that are odd, about x[K / 2] multiply by half as many numbers. */
#include "step.h"

#include "parallel.h"

enum { GRAIN = 1 << 16 }; /* numbers per grain */

typedef struct {
    const pqc_step *step;
    char *const *buffers;
} job;

static const char *prepare_fold(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    const char *why = pqc_window_check(s);
    if (why)
        return why;
    if (in->codes.content != PQC_FLOATS || in->h != 1 || in->c != 1 || in->codes.pixel != 4 ||
        out->h != 1 || out->n != in->n)
        return "rows of floats expected";
    return s->x.kernel % 2 == 0 && s->x.dilation == 1 && out->c == s->x.kernel + 2
               ? NULL
               : "an even window, and two pixels more expected";
}

/* Folds a window that lies within the row. */
static void fold(const float *x, ptrdiff_t kernel, float *y)
{
    ptrdiff_t half = kernel / 2;
    float *even = y, *odd = y + half + 1;
    even[0] = odd[0] = x[0];
    even[half] = odd[half] = x[half];
    for (ptrdiff_t i = 1; i < half; i++) {
        even[i] = x[i] + x[kernel - i];
        odd[i] = x[i] - x[kernel - i];
    }
}

static float at(const float *x, ptrdiff_t i, ptrdiff_t size)
{
    return i >= 0 && i < size ? x[i] : 0;
}

/* The same for a window from `first`, part of which lies on padding. */
static void fold_partly(const float *x, ptrdiff_t first, ptrdiff_t size, ptrdiff_t kernel, float *y)
{
    ptrdiff_t half = kernel / 2;
    float *even = y, *odd = y + half + 1;
    even[0] = odd[0] = at(x, first, size);
    even[half] = odd[half] = at(x, first + half, size);
    for (ptrdiff_t i = 1; i < half; i++) {
        float ahead = at(x, first + i, size), behind = at(x, first + kernel - i, size);
        even[i] = ahead + behind;
        odd[i] = ahead - behind;
    }
}

static void run_pixels(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_step *s = j->step;
    const pqc_image *in = &s->input, *out = &s->output[0];
    for (ptrdiff_t pixel = begin; pixel < end; pixel++) {
        ptrdiff_t n = pixel / out->w, p = pixel % out->w, first = p * s->x.stride - s->x.before;
        const float *x = pqc_image_pixels(in, j->buffers, n, 0, 0).at;
        float *y = pqc_image_pixels(out, j->buffers, n, 0, p).at;
        if (first >= 0 && first <= in->w - s->x.kernel)
            fold(x + first, s->x.kernel, y);
        else
            fold_partly(x, first, in->w, s->x.kernel, y);
    }
}

static unsigned run_fold(const pqc_step *s, char *const *buffers)
{
    const pqc_image *out = &s->output[0];
    job j = {.step = s, .buffers = buffers};
    pqc_parallel_tasks(out->n * out->w, out->n * out->w * out->c, GRAIN, run_pixels, &j);
    return 0;
}

const pqc_step_type pqc_fold_step = {
    .prepare = prepare_fold, .run = run_fold, .expects = PQC_SAME_CODES};
