/* Sums, averages and extremes of floats, in the order in which NumPy adds and the interpreter calls it: `layout` has what is
 * computed (pqc_reduction), and whether it is of the elements of each row (0) or of the rows of each image row (1).
 *
 *   Of a row: pairwise, up to 128 elements as sum_f32.h says, more in two halves, the first a multiple of 8.
 *   Of rows: one after the other.
 *
 * 0 is added to every result, so that no zero is negative.  NaN makes extremes NaN. */
#include "step.h"

#include "parallel.h"

#include <math.h>
#include <string.h>

typedef enum { SUM, MEAN, MAX, MIN, REDUCTIONS } reduction;

enum { GRAIN = 1 << 14, LANES = 8, RUN = 128, PART = 512 };

typedef struct {
    const float *x;
    float *y;
    ptrdiff_t count, inner,
        parts; /* elements of a row, or rows and the floats of each; parts of those */
    reduction kind;
} job;

static const char *prepare_reduce(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    if (s->layout[0] < 0 || s->layout[0] >= REDUCTIONS || s->layout[1] < 0 || s->layout[1] > 1)
        return "an unknown reduction";
    for (int i = 2; i < PQC_LAYOUT; i++)
        if (s->layout[i] != 0)
            return "a layout that is not used";
    if (s->outputs != 1 || s->residual.codes.content != PQC_NOTHING ||
        !pqc_image_is_float_rows(in) || !pqc_image_is_float_rows(out) || out->h != 1)
        return "floats and one output of floats expected";
    bool fits = s->layout[1] ? out->w == in->h && out->c == in->c
                             : in->h == 1 && out->w == in->w && out->c == 1;
    return fits ? NULL : "a number for each row expected";
}

/* For fewer than LANES. */
static float sum_few(const float *x, ptrdiff_t n)
{
    float sum = x[0];
    for (ptrdiff_t i = 1; i < n; i++)
        sum += x[i];
    return sum;
}

/* For LANES to RUN. */
static float sum_run(const float *x, ptrdiff_t n)
{
    float s[LANES];
    ptrdiff_t even = n - n % LANES;
    memcpy(s, x, sizeof s);
    for (ptrdiff_t i = LANES; i < even; i += LANES)
        for (int k = 0; k < LANES; k++)
            s[k] += x[i + k];
    float sum = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    for (ptrdiff_t i = even; i < n; i++)
        sum += x[i];
    return sum;
}

static float sum_pairwise(const float *x, ptrdiff_t n)
{
    if (n < LANES)
        return sum_few(x, n);
    if (n <= RUN)
        return sum_run(x, n);
    ptrdiff_t half = n / 2 - n / 2 % LANES;
    return sum_pairwise(x, half) + sum_pairwise(x + half, n - half);
}

static inline float larger(float a, float b)
{
    return a > b || isnan(a) ? a : b;
}

static float extreme(const float *x, ptrdiff_t n, float sign)
{
    float most[LANES];
    for (int k = 0; k < LANES; k++)
        most[k] = sign * x[0];
    ptrdiff_t even = n - n % LANES;
    for (ptrdiff_t i = 0; i < even; i += LANES)
        for (int k = 0; k < LANES; k++)
            most[k] = larger(most[k], sign * x[i + k]);
    for (ptrdiff_t i = even; i < n; i++)
        most[0] = larger(most[0], sign * x[i]);
    for (int k = 1; k < LANES; k++)
        most[0] = larger(most[0], most[k]);
    return sign * most[0];
}

static float finished(const job *j, float y)
{
    return j->kind == MEAN ? (float)((double)(0.0f + y) / (double)j->count) : 0.0f + y;
}

static void run_elements(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    for (ptrdiff_t row = begin; row < end; row++) {
        const float *x = j->x + row * j->count;
        if (j->kind >= MAX)
            j->y[row] = finished(j, extreme(x, j->count, j->kind == MAX ? 1.0f : -1.0f));
        else
            j->y[row] = finished(j, sum_pairwise(x, j->count));
    }
}

static void take_row(float *restrict y, const float *restrict x, ptrdiff_t n, reduction kind)
{
    if (kind == MAX)
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = larger(y[i], x[i]);
    else if (kind == MIN)
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = -larger(-y[i], -x[i]);
    else
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] += x[i];
}

/* Tasks are numbered (image row, part of the floats). */
static void run_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    float y[PART];
    for (ptrdiff_t task = begin; task < end; task++) {
        ptrdiff_t outer = task / j->parts, first = task % j->parts * PART;
        ptrdiff_t n = pqc_min(j->inner - first, PART);
        const float *x = j->x + outer * j->count * j->inner + first;
        memcpy(y, x, (size_t)n * sizeof *y);
        for (ptrdiff_t row = 1; row < j->count; row++)
            take_row(y, x + row * j->inner, n, j->kind);
        for (ptrdiff_t i = 0; i < n; i++)
            j->y[outer * j->inner + first + i] = finished(j, y[i]);
    }
}

static unsigned run_reduce(const pqc_step *s, char *const *buffers)
{
    const pqc_image *in = &s->input;
    bool of_rows = s->layout[1] == 1;
    job j = {.x = pqc_image_pixels(in, buffers, 0, 0, 0).at,
             .y = pqc_image_pixels(&s->output[0], buffers, 0, 0, 0).at,
             .count = of_rows ? in->w : in->c,
             .inner = of_rows ? in->c : 1,
             .parts = of_rows ? pqc_div_round_up(in->c, PART) : 1,
             .kind = (reduction)s->layout[0]};
    ptrdiff_t tasks = of_rows ? in->h * j.parts : in->w;
    pqc_parallel_tasks(tasks, in->h * in->w * in->c, GRAIN, of_rows ? run_rows : run_elements, &j);
    return 0;
}

const pqc_step_type pqc_reduce_step = {
    .prepare = prepare_reduce, .run = run_reduce, .has_layout = true};
