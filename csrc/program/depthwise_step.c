/* Depthwise convolutions of a program, u8 x s8: bands of output rows, 64 channels at a time. */
#include "conv_tail.h"
#include "conv_ways.h"
#include "dispatch.h"
#include "igemm_mblock.h"
#include "parallel.h"

#include <stdatomic.h>

enum { MAX_SUMS = 64 * PQC_NR, MAX_COLUMNS = 32, MAX_CODED = 256 /* pixels per task */ };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
    /* per image: panels of channels, bands of rows, spans of columns */
    ptrdiff_t panels, bands, spans;
    pqc_dwconv_nhwc_codes_fn *codes; /* or NULL */
    atomic_uint flags;
} job;

/* What one task computes. */
typedef struct {
    ptrdiff_t image, panel, row, rows, column, columns;
} task;

static ptrdiff_t panel_width(const pqc_weights *w, ptrdiff_t panel)
{
    return pqc_min(w->padded_out - PQC_NR * panel, PQC_NR);
}

static pqc_dwconv_nhwc_params products_of(const pqc_step *s, const task *t, char *const *buffers)
{
    const pqc_weights *w = s->weights;
    const pqc_image *in = &s->input;
    ptrdiff_t first = PQC_NR * t->panel, row = pqc_image_row(in), pixel = in->codes.pixel;
    const uint8_t *x = pqc_image_pixels(in, buffers, t->image, t->row * s->y.stride - s->y.before,
                                        t->column * s->x.stride - s->x.before)
                           .at;
    return (pqc_dwconv_nhwc_params){.x = x + first,
                                    .tap_row = s->y.dilation * row,
                                    .tap_pixel = s->x.dilation * pixel,
                                    .step_row = s->y.stride * row,
                                    .step_pixel = s->x.stride * pixel,
                                    .kh = (int)w->shape.kh,
                                    .kw = (int)w->shape.kw,
                                    .rows = t->rows,
                                    .columns = t->columns,
                                    .channels = panel_width(w, t->panel),
                                    .ld = PQC_NR,
                                    .w_pitch = 4 * w->padded_out,
                                    .w = w->bytes + 4 * first,
                                    .compensation = w->compensation + first};
}

static int channels_of(const pqc_step *s, const task *t)
{
    return (int)pqc_min(s->weights->shape.groups - PQC_NR * t->panel, PQC_NR);
}

/* Computes the codes of a task from sums that stay in registers. */
static void multiply_to_codes(const job *j, const task *t, pqc_tail *tail)
{
    const pqc_step *s = j->step;
    const pqc_image *out = &s->output[0];
    ptrdiff_t first = PQC_NR * t->panel;
    pqc_dwconv_nhwc_params g = products_of(s, t, j->buffers);
    pqc_output *f = &tail->to;
    f->scale = s->weights->scale + first;
    f->bias = s->weights->bias + first;
    f->output[0].at = j->buffers[out->buffer] + out->offset +
                      pqc_image_at(out, t->image, t->row, t->column) + first;
    j->codes(&g, pqc_image_row(out), channels_of(s, t), f);
}

/* Runs the output stage over a task's sums, all at once or a row of pixels at a time. */
static unsigned finish(const job *j, const task *t, const int32_t *acc, pqc_tail *tail)
{
    ptrdiff_t first = PQC_NR * t->panel;
    bool all = j->spans == 1 && tail->together;
    pqc_results r = {.n = t->image,
                     .y = t->row,
                     .x = t->column,
                     .channel = first,
                     .pixels = (int)(all ? t->rows * t->columns : t->columns),
                     .channels = channels_of(j->step, t)};
    unsigned flags = 0;
    for (; r.y < t->row + (all ? 1 : t->rows); r.y++, acc += t->columns * PQC_NR)
        flags |= pqc_tail_finish(tail, &r, acc, PQC_NR);
    return flags;
}

/* Tasks are numbered (image, band, span, panel), panel fastest, so that input rows stay cached. */
static task task_of(const job *j, ptrdiff_t number)
{
    const pqc_image *out = &j->step->output[0];
    ptrdiff_t place = number / j->panels, span = place % j->spans,
              band = place / j->spans % j->bands;
    task t = {.image = place / j->spans / j->bands, .panel = number % j->panels};
    t.row = 2 * pqc_part_begin(pqc_div_round_up(out->h, 2), j->bands, band);
    t.rows = pqc_min(2 * pqc_part_begin(pqc_div_round_up(out->h, 2), j->bands, band + 1), out->h) -
             t.row;
    t.column = pqc_part_begin(out->w, j->spans, span);
    t.columns = pqc_part_begin(out->w, j->spans, span + 1) - t.column;
    return t;
}

static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    _Alignas(64) int32_t acc[MAX_SUMS];
    pqc_tail tail;
    unsigned flags = 0;
    pqc_tail_begin(&tail, j->step, j->buffers);
    for (ptrdiff_t i = begin; i < end; i++) {
        task t = task_of(j, i);
        if (j->codes) {
            multiply_to_codes(j, &t, &tail);
            continue;
        }
        pqc_dwconv_nhwc_params g = products_of(j->step, &t, j->buffers);
        pqc.dwconv_nhwc(&g, acc);
        flags |= finish(j, &t, acc, &tail);
    }
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

/* True if the sums only become bytes: no activation except clamps or HardSwish, and no residual. */
static bool makes_bytes(const pqc_step *s)
{
    bool as_they_are = !s->hard_swish && !s->affine.there;
    return !s->chain_length && s->residual.codes.content == PQC_NOTHING && s->outputs == 1 &&
           s->output[0].codes.content == PQC_U8_CODES &&
           s->known & (as_they_are ? PQC_PLAIN : PQC_SWISH);
}

unsigned pqc_depthwise_run(const pqc_step *s, char *const *buffers)
{
    const pqc_weights *w = s->weights;
    const pqc_image *out = &s->output[0];
    job j = {.step = s, .buffers = buffers, .panels = pqc_weights_panels(w)};
    task any = {.panel = 0};
    pqc_dwconv_nhwc_params taps = products_of(s, &any, buffers);
    j.codes = makes_bytes(s) && pqc_dwconv_makes_codes(&taps) ? pqc.dwconv_nhwc_codes : NULL;
    j.spans = j.codes ? 1 : pqc_div_round_up(out->w, MAX_COLUMNS);
    ptrdiff_t columns = pqc_div_round_up(out->w, j.spans), /* at most, so that two rows fit */
        pixels = j.codes ? pqc_max(MAX_CODED, 2 * columns) : MAX_SUMS / PQC_NR;
    j.bands = pqc_div_round_up(pqc_div_round_up(out->h, 2), pixels / (2 * columns));
    ptrdiff_t products = out->n * out->h * out->w * w->padded_out * (w->k * 4 + 32);
    pqc_parallel_tasks(out->n * j.bands * j.spans * j.panels, products, PQC_MAC_GRAIN, run_tasks,
                       &j);
    return atomic_load(&j.flags);
}
