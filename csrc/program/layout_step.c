/* Steps on float32 arrays addressed by strides: matrix products, and copies in another order. */
#include "step.h"

#include "dispatch.h"
#include "matmul.h"
#include "parallel.h"

#include <string.h>

enum { AXES = PQC_LAYOUT_AXES, GRAIN = 1 << 14, CHUNK = 64, MAX_SIZE = INT32_MAX };

/* True if everything lies within `floats`, with strides that are not negative.  `once`: for an output, which must not
 * be longer either. */
static bool reaches(const int64_t *sizes, const int64_t *strides, int axes, ptrdiff_t floats,
                    bool once)
{
    double last = 0, count = 1;
    for (int i = 0; i < axes; i++) {
        if (sizes[i] < 1 || sizes[i] > MAX_SIZE || strides[i] < 0 || strides[i] > MAX_SIZE)
            return false;
        last += (double)(sizes[i] - 1) * (double)strides[i];
        count *= (double)sizes[i];
    }
    return last < (double)floats && (!once || count <= (double)floats);
}

/* True if the floats are contiguous. */
static bool is_flat(const pqc_image *i)
{
    return i->codes.content == PQC_FLOATS && !i->nchw && i->n == 1 && i->h == 1 && i->w == 1;
}

static const char *prepare_strided(pqc_step *s)
{
    const int64_t *l = s->layout;
    if (s->outputs != 1 || !is_flat(&s->input) || !is_flat(&s->output[0]))
        return "floats one behind the other expected";
    return reaches(l, l + AXES, AXES, s->input.c, false) &&
                   reaches(l, l + 2 * AXES, AXES, s->output[0].c, true)
               ? NULL
               : "strides beyond an array";
}

typedef struct {
    const int64_t *size, *from, *to;
    const float *x;
    float *y;
    ptrdiff_t chunks; /* of the next to last axis */
} copy_job;

/* Copies along the last two axes. */
static void copy_plane(const copy_job *j, const float *x, float *y, ptrdiff_t rows)
{
    ptrdiff_t n = j->size[AXES - 1], x_row = j->from[AXES - 2], y_row = j->to[AXES - 2];
    ptrdiff_t x_column = j->from[AXES - 1], y_column = j->to[AXES - 1];
    if (x_column == 1 && y_column == 1)
        for (ptrdiff_t i = 0; i < rows; i++)
            memmove(y + i * y_row, x + i * x_row, (size_t)n * sizeof *y);
    else if (x_row == 1 && y_column == 1)
        pqc.transpose_f32(x, x_column, n, rows, y, y_row);
    else
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t k = 0; k < n; k++)
                y[i * y_row + k * y_column] = x[i * x_row + k * x_column];
}

/* Tasks are numbered by the axes, the next to last one in chunks. */
static void copy_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const copy_job *j = context;
    for (ptrdiff_t task = begin; task < end; task++) {
        ptrdiff_t first = task % j->chunks * CHUNK, rest = task / j->chunks;
        ptrdiff_t x = first * j->from[AXES - 2], y = first * j->to[AXES - 2];
        for (int axis = AXES - 3; axis >= 0; axis--) {
            ptrdiff_t at = rest % j->size[axis];
            x += at * j->from[axis];
            y += at * j->to[axis];
            rest /= j->size[axis];
        }
        copy_plane(j, j->x + x, j->y + y, pqc_min(j->size[AXES - 2] - first, CHUNK));
    }
}

static float *floats_at(const pqc_image *i, char *const *buffers)
{
    return (float *)(void *)(buffers[i->buffer] + i->offset);
}

static unsigned run_strided(const pqc_step *s, char *const *buffers)
{
    const int64_t *l = s->layout;
    copy_job j = {.size = l, .from = l + AXES, .to = l + 2 * AXES};
    j.x = floats_at(&s->input, buffers);
    j.y = floats_at(&s->output[0], buffers);
    j.chunks = pqc_div_round_up(l[AXES - 2], CHUNK);
    ptrdiff_t tasks = j.chunks, elements = l[AXES - 1] * l[AXES - 2];
    for (int axis = 0; axis < AXES - 2; axis++) {
        tasks *= l[axis];
        elements *= l[axis];
    }
    pqc_parallel_tasks(tasks, elements, GRAIN, copy_tasks, &j);
    return 0;
}

const pqc_step_type pqc_strided_step = {
    .prepare = prepare_strided, .run = run_strided, .has_layout = true};

/* A product: sizes b0 b1 m n k, then the strides of a (b0 b1 row), b (b0 b1 row column) and y (b0 b1 row). */
static pqc_matmul matmul_of(const int64_t *l)
{
    return (pqc_matmul){.batch = {l[0], l[1]},
                        .m = l[2],
                        .n = l[3],
                        .k = l[4],
                        .a = {{l[5], l[6]}, l[7], 1},
                        .b = {{l[8], l[9]}, l[10], l[11]},
                        .y = {{l[12], l[13]}, l[14], 1}};
}

static const char *prepare_matmul(pqc_step *s)
{
    const int64_t *l = s->layout;
    int64_t a[] = {l[0], l[1], l[2], l[4]}, a_stride[] = {l[5], l[6], l[7], 1};
    int64_t b[] = {l[0], l[1], l[4], l[3]}, y[] = {l[0], l[1], l[2], l[3]};
    int64_t y_stride[] = {l[12], l[13], l[14], 1};
    if (s->outputs != 1 || !is_flat(&s->input) || !is_flat(&s->residual) || !is_flat(&s->output[0]))
        return "floats one behind the other expected";
    return reaches(a, a_stride, 4, s->input.c, false) &&
                   reaches(b, l + 8, 4, s->residual.c, false) &&
                   reaches(y, y_stride, 4, s->output[0].c, true)
               ? NULL
               : "strides beyond an array";
}

static unsigned run_matmul(const pqc_step *s, char *const *buffers)
{
    pqc_matmul p = matmul_of(s->layout);
    pqc_matmul_f32(&p, floats_at(&s->input, buffers), floats_at(&s->residual, buffers),
                   floats_at(&s->output[0], buffers));
    return 0;
}

const pqc_step_type pqc_matmul_step = {
    .prepare = prepare_matmul, .run = run_matmul, .has_layout = true};
