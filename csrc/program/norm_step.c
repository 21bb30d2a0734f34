/* Normalisation of groups of channels: of an image of one row, each pixel is the floats of a group, one channel after the other;
 * `layout`: groups, channels of each.  residual and more[0]: a weight and a bias for each channel, or PQC_NOTHING.  Each float is
 * that of layer_norm_f32 without them, then multiplied, then added to. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

enum { GRAIN = 1 << 13 };

typedef struct {
    const float *x, *weight, *bias;
    float *y;
    ptrdiff_t groups, channels, size; /* floats per channel */
    double epsilon;
} job;

static bool is_plain(const pqc_image *i)
{
    return pqc_image_is_float_rows(i) && i->h == 1;
}

static bool is_vector(const pqc_image *i, double n)
{
    return i->codes.content == PQC_NOTHING || (is_plain(i) && i->w == 1 && (double)i->c == n);
}

static const char *prepare_norm(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    int64_t groups = s->layout[0], channels = s->layout[1];
    for (int i = 2; i < PQC_LAYOUT; i++)
        if (s->layout[i] != 0)
            return "a layout that is not used";
    if (s->outputs != 1 || !is_plain(in) || !is_plain(out) || out->w != in->w || out->c != in->c)
        return "floats and one output of floats expected";
    if (groups < 1 || groups > in->w || in->w % groups || channels < 1 || channels > in->c ||
        in->c % channels)
        return "groups of channels expected";
    double all = (double)groups * (double)channels;
    return is_vector(&s->residual, all) && is_vector(&s->more[0], all)
               ? NULL
               : "a weight and a bias for each channel expected";
}

static void scale_channel(const job *j, float *y, ptrdiff_t channel)
{
    if (j->weight)
        for (ptrdiff_t i = 0; i < j->size; i++)
            y[i] *= j->weight[channel];
    if (j->bias)
        for (ptrdiff_t i = 0; i < j->size; i++)
            y[i] += j->bias[channel];
}

static void run_groups(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    ptrdiff_t n = j->channels * j->size;
    for (ptrdiff_t group = begin; group < end; group++) {
        float *y = j->y + group * n;
        pqc.layer_norm_f32(j->x + group * n, y, 1, n, &(pqc_layer_norm){.epsilon = j->epsilon});
        for (ptrdiff_t c = 0; c < j->channels; c++)
            scale_channel(j, y + c * j->size, group % j->groups * j->channels + c);
    }
}

static void *floats_at(const pqc_image *i, char *const *buffers)
{
    return i->codes.content == PQC_NOTHING ? NULL : pqc_image_pixels(i, buffers, 0, 0, 0).at;
}

static unsigned run_norm(const pqc_step *s, char *const *buffers)
{
    job j = {.x = floats_at(&s->input, buffers),
             .weight = floats_at(&s->residual, buffers),
             .bias = floats_at(&s->more[0], buffers),
             .y = floats_at(&s->output[0], buffers),
             .groups = (ptrdiff_t)s->layout[0],
             .channels = (ptrdiff_t)s->layout[1],
             .size = s->input.c / (ptrdiff_t)s->layout[1],
             .epsilon = s->epsilon};
    pqc_parallel_tasks(s->input.w, s->input.w * s->input.c, GRAIN, run_groups, &j);
    return 0;
}

const pqc_step_type pqc_norm_step = {.prepare = prepare_norm, .run = run_norm, .has_layout = true};
