/* int64 numbers, each in the place of two floats, to float32: rounded, or (TRUTHS) 1 for those that are not 0. */
#include "step.h"

#include "parallel.h"

#include <string.h>

enum { GRAIN = 1 << 14, FLOATS_OF_INTEGER = sizeof(int64_t) / sizeof(float) };

typedef struct {
    const char *x;
    float *y;
    bool truths;
} job;

static bool is_plain(const pqc_image *i, ptrdiff_t floats)
{
    return pqc_image_is_float_rows(i) && i->h == 1 && i->c == floats;
}

static const char *prepare_integers(pqc_step *s)
{
    return s->outputs == 1 && is_plain(&s->input, FLOATS_OF_INTEGER) &&
                   is_plain(&s->output[0], 1) && s->input.w == s->output[0].w
               ? NULL
               : "a float for each integer expected";
}

static void convert(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    for (ptrdiff_t i = begin; i < end; i++) {
        int64_t x;
        memcpy(&x, j->x + i * (ptrdiff_t)sizeof x, sizeof x);
        j->y[i] = j->truths ? (float)(x != 0) : (float)x;
    }
}

static unsigned run_integers(const pqc_step *s, char *const *buffers)
{
    job j = {.x = pqc_image_pixels(&s->input, buffers, 0, 0, 0).at,
             .y = pqc_image_pixels(&s->output[0], buffers, 0, 0, 0).at,
             .truths = s->kind == PQC_STEP_TRUTHS};
    pqc_parallel_tasks(s->input.w, s->input.w, GRAIN, convert, &j);
    return 0;
}

const pqc_step_type pqc_integers_step = {.prepare = prepare_integers, .run = run_integers};
