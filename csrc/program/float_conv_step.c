/* Convolutions of floats, channels last.  Each sum begins with the bias and goes tap by tap through a group's channels, by fused
 * multiply-adds, taps on padding left out: the bits of pqc_matmul_f32 with `start` and `taps` on finite weights.  A depthwise one
 * has one group for its step's purposes, whose panels are NR channels each of rows that hold all of them. */
#include "cache_sizes.h"
#include "conv_tail.h"
#include "dispatch.h"
#include "frames.h"
#include "matmul.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

/* MAX_ROWS: of a tile; DEPTH: rows of a panel at a time; FEW_CHANNELS: below them a row of taps is multiplied at once. */
enum { MAX_ROWS = 48, NR = PQC_GEMM_NR, FEW_CHANNELS = 24, GRAIN = 1 << 18 };
enum { DEPTH = PQC_L1_GEMM_PANEL / (NR * (int)sizeof(float)) };

/* `by_images`: the rows of a tile are the pixels of one place in several images, not those of a row. */
typedef struct {
    const pqc_step *step;
    char *const *buffers;
    pqc_frames frames;
    const float *x, *weights;
    /* channels and outputs per group; panels of NR outputs */
    ptrdiff_t groups, channels, outputs, panels;
    ptrdiff_t panel_rows;        /* rows of a packed panel: the bias, and one per tap and channel */
    ptrdiff_t row, pixel, image; /* floats of the input between rows, pixels, images */
    ptrdiff_t width;             /* pixels of a row, or images: they are divided into tiles */
    ptrdiff_t blocks, places;    /* tiles per row, and rows in all */
    bool by_images, depthwise;
    atomic_uint flags;
} job;

/* A tile: `rows` results from (n, y, x), for some channels of a group. */
typedef struct {
    ptrdiff_t n, y, x, group, first;
    int rows, channels;
    const float *w; /* the panel: bias, then rows */
    float *to;
    ptrdiff_t to_row; /* floats between results of one channel */
    pqc_gemm
        due; /* what is added next, once it is known whether it is the last; rows 0: nothing yet */
    bool begun; /* all sums already contain the bias */
} tile;

static bool is_flat(const pqc_image *i)
{
    return !i->nchw && i->codes.content == PQC_FLOATS && i->n == 1 && i->h == 1 && i->w == 1;
}

static bool is_depthwise(const pqc_step *s)
{
    return s->layout[0] > 1 && s->layout[0] == s->input.c && s->layout[0] == s->output[0].c;
}

static ptrdiff_t rows_of_panel(const pqc_step *s, ptrdiff_t channels)
{
    return 1 + pqc_frames_of(s).z.kernel * s->y.kernel * s->x.kernel * channels;
}

static const char *prepare_float_conv(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    const char *why = pqc_window_check(s);
    int64_t groups = s->layout[0];
    if (!why)
        why = pqc_frames_check(s);
    if (why)
        return why;
    if (in->nchw || in->codes.content != PQC_FLOATS || groups < 1 || groups > in->c ||
        in->c % groups || out->c % groups)
        return "images of floats in groups expected";
    for (int i = 0; i < s->outputs; i++) {
        const pqc_image *o = &s->output[i];
        if (o->nchw || o->n != out->n || o->h != out->h || o->w != out->w || o->c != out->c)
            return "outputs of one shape expected";
    }
    double panels = (double)groups * (double)pqc_div_round_up(out->c / groups, NR);
    double columns = is_depthwise(s) ? (double)groups : panels * NR;
    double taps = (double)pqc_frames_of(s).z.kernel * (double)s->y.kernel * (double)s->x.kernel;
    if (!is_flat(&s->residual) ||
        (double)s->residual.c != columns * (1 + taps * (double)(in->c / groups)))
        return "weights that do not fit";
    return pqc_tail_check(s);
}

static void begin_rows(tile *t)
{
    for (int i = 0; i < t->rows; i++)
        memmove(t->to + i * t->to_row, t->w, (size_t)t->channels * sizeof *t->to);
    t->begun = true;
}

/* Turns -0 into 0.  Sums that include taps on padding differ from sums without them in nothing else. */
static void without_negative_zeros(const tile *t)
{
    for (int i = 0; i < t->rows; i++)
        for (ptrdiff_t c = 0; c < t->channels; c++)
            t->to[i * t->to_row + c] += 0.0f;
}

/* Adds what is due: with the bias if it is the first of all rows, without negative zeros if it is the last of them. */
static void add_due(tile *t, bool last)
{
    bool whole = t->due.rows == t->rows;
    if (!t->begun && whole)
        t->due.start = t->w;
    else if (!t->begun)
        begin_rows(t);
    t->begun = true;
    t->due.plus_zero = last && whole;
    if (t->due.rows > 0)
        pqc.gemm_f32(&t->due);
    if (last && !whole)
        without_negative_zeros(t);
}

/* Adds the products with `k` rows of the panel, from `w`, to some rows of a tile. */
static void add(const job *j, tile *t, ptrdiff_t first, ptrdiff_t rows, const float *a, ptrdiff_t w,
                ptrdiff_t k)
{
    const pqc_window *x = &j->step->x;
    pqc_gemm g = {.a = a,
                  .b = t->w + (1 + w) * NR,
                  .y = t->to + first * t->to_row,
                  .rows = rows,
                  .n = t->channels,
                  .a_row = j->by_images ? j->image : x->stride * j->pixel,
                  .y_row = t->to_row};
    for (; k > 0; k -= g.k, g.a += g.k, g.b += g.k * NR) {
        g.k = k < DEPTH + DEPTH / 4 ? k : DEPTH; /* no small rest */
        if (t->due.rows > 0)
            add_due(t, false);
        t->due = g;
    }
}

/* Rows [*first, *end) of a tile whose tap `at` lies on the image. */
static void rows_on_image(const job *j, const tile *t, ptrdiff_t at, ptrdiff_t *first,
                          ptrdiff_t *end)
{
    const pqc_window *x = &j->step->x;
    ptrdiff_t shift = x->before - at * x->dilation, size = j->step->input.w;
    ptrdiff_t low = shift > 0 ? pqc_div_round_up(shift, x->stride) : 0;
    ptrdiff_t high = size + shift > 0 ? pqc_div_round_up(size + shift, x->stride) : 0;
    *first = pqc_clamp(low - t->x, 0, t->rows);
    *end = pqc_clamp(high - t->x, 0, t->rows);
}

/* One tap after the other, for all rows whose tap lies on the image.  `from`: the first pixel of the image's row. */
static void add_taps(const job *j, tile *t, const float *from, ptrdiff_t w)
{
    const pqc_window *x = &j->step->x;
    for (ptrdiff_t at = 0; at < x->kernel; at++, w += j->channels) {
        ptrdiff_t first, end;
        rows_on_image(j, t, at, &first, &end);
        ptrdiff_t pixel = (t->x + first) * x->stride - x->before + at * x->dilation;
        if (first < end)
            add(j, t, first, end - first, from + pixel * j->pixel, w, j->channels);
    }
}

/* The end of the tile's rows from `first` that have the same taps along x. */
static ptrdiff_t end_of_run(const job *j, const tile *t, ptrdiff_t first, pqc_taps *taps)
{
    const pqc_window *x = &j->step->x;
    ptrdiff_t end = first + 1;
    *taps = pqc_taps_of(x, t->x + first, j->step->input.w);
    if (j->by_images)
        return t->rows;
    for (; end < t->rows; end++) {
        pqc_taps next = pqc_taps_of(x, t->x + end, j->step->input.w);
        if (next.first != taps->first || next.end != taps->end)
            break;
    }
    return end;
}

/* All taps of a row at once, where their channels are contiguous. */
static void add_runs(const job *j, tile *t, const float *from, ptrdiff_t w)
{
    pqc_taps taps;
    for (ptrdiff_t first = 0, end; first < t->rows; first = end) {
        end = end_of_run(j, t, first, &taps);
        if (taps.first < taps.end)
            add(j, t, first, end - first, from + (taps.start + taps.first) * j->pixel,
                w + taps.first * j->channels, (taps.end - taps.first) * j->channels);
    }
}

/* One tap after the other, for the same place in several images. */
static void add_taps_of_images(const job *j, tile *t, const float *from, ptrdiff_t w)
{
    const pqc_window *x = &j->step->x;
    pqc_taps taps = pqc_taps_of(x, t->x, j->step->input.w);
    for (ptrdiff_t at = taps.first; at < taps.end; at++)
        add(j, t, 0, t->rows, from + (taps.start + at * x->dilation) * j->pixel,
            w + at * j->channels, j->channels);
}

/* The taps on one image of the input, whose weights begin at row `w` of the panel. */
static void add_image(const job *j, tile *t, ptrdiff_t n, ptrdiff_t w)
{
    const pqc_step *s = j->step;
    bool together = s->x.dilation == 1 && j->pixel == j->channels;
    pqc_taps taps = pqc_taps_of(&s->y, t->y, s->input.h);
    const float *x = j->x + n * j->image + t->group * j->channels;
    w += taps.first * s->x.kernel * j->channels;
    for (ptrdiff_t at = taps.first; at < taps.end; at++, w += s->x.kernel * j->channels) {
        const float *from = x + (taps.start + at * s->y.dilation) * j->row;
        if (together && (j->by_images || j->channels < FEW_CHANNELS))
            add_runs(j, t, from, w);
        else if (j->by_images)
            add_taps_of_images(j, t, from, w);
        else
            add_taps(j, t, from, w);
    }
}

/* The same for a depthwise convolution: all taps on the image at once. */
static void add_depthwise(const job *j, tile *t, ptrdiff_t n, ptrdiff_t w)
{
    const pqc_step *s = j->step;
    pqc_taps y = pqc_taps_of(&s->y, t->y, s->input.h), x;
    if (y.first >= y.end)
        return;
    const float *from =
        j->x + n * j->image + t->first + (y.start + y.first * s->y.dilation) * j->row;
    pqc_dwconv_f32 d = {.channels = t->channels,
                        .kh = y.end - y.first,
                        .x_pixel = j->by_images ? j->image : s->x.stride * j->pixel,
                        .x_row = s->y.dilation * j->row,
                        .x_tap = s->x.dilation * j->pixel,
                        .w_row = s->x.kernel * j->outputs,
                        .w_tap = j->outputs,
                        .y_pixel = t->to_row};
    for (ptrdiff_t first = 0, end; first < t->rows; first = end) {
        end = end_of_run(j, t, first, &x);
        if (x.first >= x.end)
            continue;
        d.x = from + (x.start + x.first * s->x.dilation) * j->pixel;
        d.w = t->w + (1 + w + y.first * s->x.kernel + x.first) * j->outputs;
        d.y = t->to + first * t->to_row;
        d.kw = x.end - x.first;
        d.pixels = end - first;
        pqc.dwconv_f32(&d);
    }
}

static void multiply(const job *j, tile *t)
{
    ptrdiff_t image_taps = j->step->y.kernel * j->step->x.kernel;
    if (j->depthwise)
        begin_rows(t);
    for (ptrdiff_t tap = 0; tap < j->frames.z.kernel; tap++) {
        ptrdiff_t n = pqc_frame_of_tap(&j->frames, t->n, tap);
        if (n >= 0)
            (j->depthwise ? add_depthwise : add_image)(j, t, n, tap * image_taps * j->channels);
    }
    if (j->depthwise)
        without_negative_zeros(t);
    else
        add_due(t, true);
}

/* Tasks are numbered (group, panel, place), place fastest, so that a panel stays cached. */
static tile tile_of(const job *j, ptrdiff_t number)
{
    const pqc_image *out = &j->step->output[0];
    ptrdiff_t place = number % j->places, panel = number / j->places, block = place % j->blocks;
    ptrdiff_t first = pqc_part_begin(j->width, j->blocks, block), rest = place / j->blocks;
    tile t = {.group = panel / j->panels, .first = panel % j->panels * NR};
    t.rows = (int)(pqc_part_begin(j->width, j->blocks, block + 1) - first);
    t.channels = (int)pqc_min(j->outputs - t.first, NR);
    t.n = j->by_images ? first : rest / out->h;
    t.y = j->by_images ? rest / out->w : rest % out->h;
    t.x = j->by_images ? rest % out->w : first;
    t.w = j->weights + (j->depthwise ? t.first : panel * j->panel_rows * NR);
    return t;
}

static void exchange(ptrdiff_t *a, ptrdiff_t *b)
{
    ptrdiff_t kept = *a;
    *a = *b;
    *b = kept;
}

static void exchange_images_and_pixels(pqc_tail *tail)
{
    for (int i = 0; i < tail->operands; i++)
        exchange(&tail->operand[i].n, &tail->operand[i].x);
    for (int i = 0; i < tail->step->outputs; i++)
        exchange(&tail->output[i].n, &tail->output[i].x);
}

/* True if the results are floats that nothing else happens to. */
static bool is_stored_at_once(const pqc_step *s)
{
    return s->chain_length == 0 && s->outputs == 1 && s->output[0].codes.content == PQC_FLOATS;
}

static void store_at_once(const job *j, tile *t)
{
    const pqc_image *out = &j->step->output[0];
    t->to = (float *)pqc_image_pixels(out, j->buffers, t->n, t->y, t->x).at;
    t->to += t->group * j->outputs + t->first;
    t->to_row = (j->by_images ? pqc_image_size(out) : out->codes.pixel) / (ptrdiff_t)sizeof(float);
}

static void run_tiles(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    pqc_tail tail;
    unsigned flags = 0;
    pqc_tail_begin(&tail, j->step, j->buffers);
    if (j->by_images)
        exchange_images_and_pixels(&tail);
    for (ptrdiff_t i = begin; i < end; i++) {
        tile t = tile_of(j, i);
        if (is_stored_at_once(j->step)) {
            store_at_once(j, &t);
            multiply(j, &t);
            continue;
        }
        t.to = tail.floats;
        t.to_row = t.channels;
        multiply(j, &t);
        pqc_results r = {.n = j->by_images ? t.x : t.n,
                         .y = t.y,
                         .x = j->by_images ? t.n : t.x,
                         .channel = t.group * j->outputs + t.first,
                         .pixels = t.rows,
                         .channels = t.channels};
        flags |= pqc_tail_chain(&tail, &r, tail.floats);
    }
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

static unsigned run_float_conv(const pqc_step *s, char *const *buffers)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    job j = {.step = s,
             .buffers = buffers,
             .frames = pqc_frames_of(s),
             .depthwise = is_depthwise(s),
             .groups = is_depthwise(s) ? 1 : (ptrdiff_t)s->layout[0]};
    j.x = pqc_image_pixels(in, buffers, 0, 0, 0).at;
    j.weights = pqc_image_pixels(&s->residual, buffers, 0, 0, 0).at;
    j.channels = in->c / (ptrdiff_t)s->layout[0];
    j.outputs = out->c / j.groups;
    j.panels = pqc_div_round_up(j.outputs, NR);
    j.panel_rows = rows_of_panel(s, j.channels);
    j.pixel = in->codes.pixel / (ptrdiff_t)sizeof(float);
    j.row = pqc_image_row(in) / (ptrdiff_t)sizeof(float);
    j.image = pqc_image_size(in) / (ptrdiff_t)sizeof(float);
    j.by_images = out->n > out->w && pqc_frames_are_alone(&j.frames);
    j.width = j.by_images ? out->n : out->w;
    j.blocks = pqc_div_round_up(j.width, MAX_ROWS);
    j.places = j.blocks * out->h * (j.by_images ? out->w : out->n);
    ptrdiff_t tasks = j.places * j.groups * j.panels;
    double results = (double)out->n * (double)out->h * (double)out->w * (double)j.groups;
    double products = results * (double)j.panels * NR * (double)j.panel_rows;
    pqc_parallel_tasks(tasks, products < 0x1p60 ? (ptrdiff_t)products : PTRDIFF_MAX, GRAIN,
                       run_tiles, &j);
    return atomic_load(&j.flags);
}

const pqc_step_type pqc_float_conv_step = {
    .prepare = prepare_float_conv, .run = run_float_conv, .has_layout = true};
