/* Rows of floats at places along several axes, as GatherND finds them: `residual` has the coordinates of each output row, int64
 * numbers each in the place of two floats; `layout` their number and the axes' sizes.  Negative coordinates count from the end. */
#include "step.h"

#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum { GRAIN = 1 << 12, FLOATS_OF_INDEX = sizeof(int64_t) / sizeof(float) };

static bool is_plain(const pqc_image *i)
{
    return pqc_image_is_float_rows(i) && i->h == 1;
}

static const char *prepare_locate(pqc_step *s)
{
    const pqc_image *in = &s->input, *index = &s->residual, *out = &s->output[0];
    int64_t axes = s->layout[0], places = 1;
    if (s->outputs != 1 || !is_plain(in) || !is_plain(out) || !is_plain(index))
        return "rows of floats expected";
    if (axes < 1 || axes > PQC_LAYOUT_AXES)
        return "some axes expected";
    for (int64_t i = 1; i <= axes; i++) {
        if (s->layout[i] < 1 || s->layout[i] > in->w / places)
            return "axes of the input expected";
        places *= s->layout[i];
    }
    for (int64_t i = axes + 1; i < PQC_LAYOUT; i++)
        if (s->layout[i] != 0)
            return "a layout that is not used";
    if (places != in->w || in->c != out->c || index->w != out->w ||
        index->c != axes * FLOATS_OF_INDEX)
        return "coordinates of each row expected";
    return in->buffer == out->buffer && in->offset == out->offset ? "rows in another place expected"
                                                                  : NULL;
}

typedef struct {
    const float *x;
    float *y;
    const char *index;
    const int64_t *size; /* of each axis */
    ptrdiff_t axes, row;
    atomic_uint flags;
} job;

/* The row at coordinates; -1 if there is none. */
static ptrdiff_t row_at(const job *j, const char *coordinates)
{
    ptrdiff_t row = 0;
    for (ptrdiff_t i = 0; i < j->axes; i++) {
        int64_t at;
        memcpy(&at, coordinates + i * (ptrdiff_t)sizeof at, sizeof at);
        if (at < -j->size[i] || at >= j->size[i])
            return -1;
        row = row * (ptrdiff_t)j->size[i] + (ptrdiff_t)(at < 0 ? at + j->size[i] : at);
    }
    return row;
}

static void locate_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t at = row_at(j, j->index + i * j->axes * (ptrdiff_t)sizeof(int64_t));
        if (at < 0) {
            atomic_fetch_or_explicit(&j->flags, PQC_STEP_BAD_INDEX, memory_order_relaxed);
            return;
        }
        if (j->row == 1)
            j->y[i] = j->x[at];
        else
            memmove(j->y + i * j->row, j->x + at * j->row, (size_t)j->row * sizeof *j->y);
    }
}

static unsigned run_locate(const pqc_step *s, char *const *buffers)
{
    const pqc_image *out = &s->output[0];
    job j = {.x = pqc_image_pixels(&s->input, buffers, 0, 0, 0).at,
             .y = pqc_image_pixels(out, buffers, 0, 0, 0).at,
             .index = pqc_image_pixels(&s->residual, buffers, 0, 0, 0).at,
             .size = s->layout + 1,
             .axes = (ptrdiff_t)s->layout[0],
             .row = out->c};
    pqc_parallel_tasks(out->w, out->w * (out->c + j.axes), GRAIN, locate_rows, &j);
    return atomic_load(&j.flags);
}

const pqc_step_type pqc_locate_step = {
    .prepare = prepare_locate, .run = run_locate, .has_layout = true};
