/* Rows of float32 selected by int64 indices, as in an embedding: output row i is input row index[i], where the image
 * rows either share the indices or each have their own. */
#include "step.h"

#include "cache_sizes.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum { GRAIN = 1 << 14, FLOATS_OF_INDEX = sizeof(int64_t) / sizeof(float) };

static const char *prepare_gather(pqc_step *s)
{
    const pqc_image *in = &s->input, *index = &s->residual, *out = &s->output[0];
    if (s->outputs != 1 || !pqc_image_is_float_rows(in) || !pqc_image_is_float_rows(out) ||
        !pqc_image_is_float_rows(index))
        return "rows of floats expected";
    if (in->h != out->h || in->c != out->c)
        return "rows as many and as long expected";
    if (index->h != 1 || index->c != FLOATS_OF_INDEX ||
        (index->w != out->w && (double)index->w != (double)out->h * (double)out->w))
        return "an index for each row expected";
    return in->buffer == out->buffer && in->offset == out->offset ? "rows in another place expected"
                                                                  : NULL;
}

typedef struct {
    const float *x;
    float *y;
    const char *index;
    ptrdiff_t size, count, row; /* rows to choose from, rows chosen, floats per row */
    ptrdiff_t apart; /* indices between those of one image row and those of the next; 0: shared */
    atomic_uint flags;
} job;

static int64_t index_at(const char *index, ptrdiff_t i)
{
    int64_t at;
    memcpy(&at, index + i * (ptrdiff_t)sizeof at, sizeof at);
    return at;
}

/* How many of the rows [i, end) are also contiguous in the input, forwards (step 1) or backwards (step -1). */
static ptrdiff_t run_of(const job *j, const char *index, ptrdiff_t i, ptrdiff_t end, int64_t at,
                        int step)
{
    int64_t ahead = at < 0 ? at + j->size : at, rows = step > 0 ? j->size - ahead : ahead + 1;
    ptrdiff_t most = pqc_min(end - i, (ptrdiff_t)rows), n = 1;
    while (n < most && index_at(index, i + n) == at + step * n)
        n++;
    return n;
}

static void copy(float *y, const float *x, ptrdiff_t n)
{
    if (n > 1)
        memmove(y, x, (size_t)n * sizeof *y);
    else
        *y = *x;
}

static void copy_backwards(float *restrict y, const float *restrict x, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = x[-i];
}

/* Gathers rows [i, end) of `times` image rows starting at `outer`; false if an index is out of range. */
static bool gather(const job *j, ptrdiff_t outer, ptrdiff_t times, ptrdiff_t i, ptrdiff_t end)
{
    const char *index = j->index + outer * j->apart * (ptrdiff_t)sizeof(int64_t);
    for (ptrdiff_t n; i < end; i += n) {
        int64_t at = index_at(index, i);
        if (at < -j->size || at >= j->size)
            return false;
        n = run_of(j, index, i, end, at, 1);
        bool backwards = n == 1 && j->row == 1;
        if (backwards)
            n = run_of(j, index, i, end, at, -1);
        const float *x = j->x + (outer * j->size + (ptrdiff_t)at + (at < 0 ? j->size : 0)) * j->row;
        float *y = j->y + (outer * j->count + i) * j->row;
        for (ptrdiff_t k = 0; k < times && backwards; k++)
            copy_backwards(y + k * j->count, x + k * j->size, n);
        for (ptrdiff_t k = 0; k < times && !backwards; k++)
            copy(y + k * j->count * j->row, x + k * j->size * j->row, n * j->row);
    }
    return true;
}

/* How many image rows can be gathered together, starting with the first, while staying cached. */
static ptrdiff_t times_of(const job *j, ptrdiff_t first, ptrdiff_t rows)
{
    ptrdiff_t floats = PQC_L2_GATHER_ROWS / (ptrdiff_t)sizeof(float);
    ptrdiff_t fit = pqc_max(floats / ((j->count + j->size) * j->row), 1);
    return first || j->apart ? 1 : pqc_clamp(rows / j->count, 1, fit);
}

/* Tasks are numbered (image row, row). */
static void gather_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    while (begin < end) {
        ptrdiff_t outer = begin / j->count, first = begin % j->count;
        ptrdiff_t last = pqc_min(j->count, first + end - begin);
        ptrdiff_t times = times_of(j, first, end - begin);
        if (!gather(j, outer, times, first, last))
            atomic_fetch_or_explicit(&j->flags, PQC_STEP_BAD_INDEX, memory_order_relaxed);
        begin += times * (last - first);
    }
}

static unsigned run_gather(const pqc_step *s, char *const *buffers)
{
    const pqc_image *out = &s->output[0];
    job j = {.x = pqc_image_pixels(&s->input, buffers, 0, 0, 0).at,
             .y = pqc_image_pixels(out, buffers, 0, 0, 0).at,
             .index = pqc_image_pixels(&s->residual, buffers, 0, 0, 0).at,
             .size = s->input.w,
             .count = out->w,
             .row = out->c};
    j.apart = s->residual.w == out->w ? 0 : out->w;
    ptrdiff_t rows = out->h * out->w;
    pqc_parallel_tasks(rows, rows * out->c, GRAIN, gather_tasks, &j);
    return atomic_load(&j.flags);
}

const pqc_step_type pqc_gather_step = {.prepare = prepare_gather, .run = run_gather};
