/* Convolutions and matrix products of codes: prepares the step, chooses the algorithm, and runs the one by M-blocks. */
#include "cache_sizes.h"
#include "code_sum.h"
#include "conv_tail.h"
#include "conv_ways.h"
#include "dispatch.h"
#include "igemm_mblock.h"
#include "parallel.h"

#include <stdatomic.h>

/* True if every tap of every output lies on the image or its border. */
static bool is_covered(const pqc_window *w, ptrdiff_t outputs, ptrdiff_t before, ptrdiff_t size,
                       ptrdiff_t after)
{
    double last = (double)(outputs - 1) * (double)w->stride - (double)w->before +
                  (double)(w->kernel - 1) * (double)w->dilation;
    return w->before <= before && last < (double)size + (double)after;
}

static const char *check_images(const pqc_step *s)
{
    const pqc_weights_shape *w = &s->weights->shape;
    const pqc_image *in = &s->input;
    if (in->nchw || in->codes.content != PQC_U8_CODES || in->codes.zero != w->zero ||
        in->c != w->groups * w->in || pqc_image_size(in) > INT32_MAX)
        return "an input that does not fit the weights";
    if (s->outputs < 1 || s->outputs > PQC_MAX_OUTPUTS)
        return "one to three outputs expected";
    for (int i = -1; i < s->outputs; i++) {
        const pqc_image *image = i < 0 ? &s->residual : &s->output[i];
        if (i < 0 && image->codes.content == PQC_NOTHING)
            continue;
        if (image->nchw || image->n != in->n || image->h != s->output[0].h ||
            image->w != s->output[0].w || image->c != w->groups * w->out)
            return "an output or a residual of another shape";
    }
    if (s->y.kernel != w->kh || s->x.kernel != w->kw)
        return "a window that is not that of the weights";
    if (w->merged && (in->codes.pixel != in->c || s->x.dilation != 1))
        return "taps that do not lie together";
    return NULL;
}

/* Appends the offsets of the kr groups of a tap, or of a row of taps, whose bytes begin at `from`. */
static int32_t *add_groups(int32_t *offset, ptrdiff_t from, ptrdiff_t bytes)
{
    for (ptrdiff_t i = 0; i < bytes; i += 4)
        *offset++ = (int32_t)(from + i);
    return offset;
}

static void set_offsets(const pqc_step *s)
{
    const pqc_weights_shape *w = &s->weights->shape;
    const pqc_image *in = &s->input;
    int32_t *offset = s->offset, *run = s->offset + s->weights->k;
    ptrdiff_t bytes = w->merged ? w->kw * w->in : w->in;
    for (ptrdiff_t y = 0; y < w->kh; y++)
        for (ptrdiff_t x = 0; x < (w->merged ? 1 : w->kw); x++) {
            ptrdiff_t from =
                y * s->y.dilation * pqc_image_row(in) + x * s->x.dilation * in->codes.pixel;
            offset = add_groups(offset, from, bytes);
            *run++ = (int32_t)from;
        }
}

/* Moves clamps that come last into the codes' bounds. */
static void set_known(pqc_step *s)
{
    s->known = 0;
    pqc_output f = pqc_tail_output(s);
    pqc_finish_fold(&f);
    s->low = f.low;
    s->high = f.high;
    s->second_low = f.second_low;
    s->second_high = f.second_high;
    for (int i = 0; i < s->outputs && !s->chain_length; i++)
        s->output[i].codes = f.output[i];
    s->known = pqc_finish_known(&f, s->weights->largest);
    s->sum = s->known & PQC_PLAIN ? pqc_code_sum_of(&f) : (pqc_code_sum){.there = false};
}

static const char *prepare_conv(pqc_step *s)
{
    const char *why = s->weights ? pqc_window_check(s) : "weights expected";
    if (!why)
        why = check_images(s);
    if (!why && s->chain_length)
        why = pqc_tail_check(s);
    if (why)
        return why;
    pqc_tail_fold(s);
    const pqc_image *in = &s->input, *out = &s->output[0];
    if (!is_covered(&s->y, out->h, in->top, in->h, in->bottom) ||
        !is_covered(&s->x, out->w, in->left, in->w, in->right))
        return "taps outside of the input and its border";
    if (!s->weights->shape.depthwise)
        set_offsets(s);
    set_known(s);
    s->tiling = pqc_tiling_of(s);
    const pqc_winograd_nhwc *winograd = pqc.winograd_nhwc;
    if (winograd && !pqc.igemm_nhwc)
        s->patches = pqc_patches_of(s, winograd);
    return NULL;
}

typedef struct {
    const pqc_step *step;
    char *const *buffers;
    ptrdiff_t mblocks, panels;      /* per image */
    bool by_mblock;                 /* all panels of an M-block follow each other */
    pqc_igemm_u8s8_codes_fn *codes; /* or NULL */
    pqc_igemm_u8s8_f32_fn *floats;  /* or NULL */
    atomic_uint flags;
} job;

/* What one task computes: some pixels of an image by one panel. */
typedef struct {
    ptrdiff_t image, first, group, panel;
    int pixels, channels;
    bool is_last; /* last M-block of its panel */
} task;

/* M-blocks but the last are multiples of the number of pixels that bodies with AVX-512 take at a time.  Larger ones
 * alternate with smaller ones, so that halves of them are nearly equal. */
static ptrdiff_t mblock_begin(const job *j, ptrdiff_t i)
{
    const pqc_image *out = &j->step->output[0];
    ptrdiff_t channels = j->step->weights->padded_out, pixels = out->h * out->w;
    ptrdiff_t unit = channels >= PQC_NR ? 6 : channels > PQC_LANES ? 8 : 12;
    return pqc_min(pqc_div_round_up(pixels, unit) * i / j->mblocks * unit, pixels);
}

static task task_of(const job *j, ptrdiff_t number)
{
    const pqc_weights *w = j->step->weights;
    ptrdiff_t fast = j->by_mblock ? j->panels : j->mblocks, slow = j->panels * j->mblocks / fast;
    ptrdiff_t inner = number % fast, outer = number / fast % slow;
    ptrdiff_t mblock = j->by_mblock ? outer : inner, panel = j->by_mblock ? inner : outer;
    ptrdiff_t panels = pqc_div_round_up(w->padded_out, PQC_NR);
    task t = {.image = number / fast / slow,
              .group = panel / panels,
              .panel = panel % panels,
              .is_last = mblock + 1 == j->mblocks};
    t.first = mblock_begin(j, mblock);
    t.pixels = (int)(mblock_begin(j, mblock + 1) - t.first);
    t.channels = (int)pqc_min(w->shape.out - PQC_NR * t.panel, PQC_NR);
    return t;
}

/* Most pixels of an M-block; narrow panels have more than others, so that what an M-block takes to set up counts less.  They
 * exceed what mblocks_of has in mind by no more than a body takes at a time. */
enum { MOST_PIXELS = PQC_MC * PQC_NR / PQC_LANES + 16 };

/* Where an M-block's pixels lie in the input and, if codes are made, in the outputs and the residual: bytes from the
 * first pixel of an image. */
typedef struct {
    ptrdiff_t first; /* first pixel of the M-block, or -1 */
    int32_t input[MOST_PIXELS], residual[MOST_PIXELS], output[2][MOST_PIXELS];
} places;

/* Sets the places in one image; those of an output have windows of one tap. */
static void set_image_places(const task *t, const pqc_image *image, ptrdiff_t width,
                             const pqc_window *y, const pqc_window *x, int32_t *place)
{
    ptrdiff_t row = t->first / width, column = t->first % width;
    ptrdiff_t step = x->stride * image->codes.pixel;
    for (int done = 0, run; done < t->pixels; done += run, row++, column = 0) {
        ptrdiff_t at =
            pqc_image_at(image, 0, row * y->stride - y->before, column * x->stride - x->before);
        run = (int)pqc_min(width - column, t->pixels - done);
        int i = 0;
        for (; i + 4 <= run; i += 4, at += 4 * step) /* GCC would not unroll a plain loop */
            for (int k = 0; k < 4; k++)
                place[done + i + k] = (int32_t)(at + k * step);
        for (; i < run; i++, at += step)
            place[done + i] = (int32_t)at;
    }
}

/* Keeps them if they are those of the previous task. */
static void set_places(const job *j, const task *t, places *p)
{
    static const pqc_window plain = {1, 1, 0, 1};
    const pqc_step *s = j->step;
    const pqc_image *out = &s->output[0];
    if (p->first == t->first)
        return;
    p->first = t->first;
    set_image_places(t, &s->input, out->w, &s->y, &s->x, p->input);
    for (int i = 0; j->codes && i < s->outputs; i++)
        set_image_places(t, &s->output[i], out->w, &plain, &plain, p->output[i]);
    if (j->codes && s->residual.codes.content != PQC_NOTHING)
        set_image_places(t, &s->residual, out->w, &plain, &plain, p->residual);
}

/* Sets the weights that are read after a panel's last M-block: the next panel's, or the first of the next step. */
static void set_ahead(const job *j, const task *t, pqc_igemm_params *g)
{
    const pqc_weights *w = j->step->weights, *next = j->step->next;
    const int8_t *at = g->w + g->k_stride * g->k;
    const int8_t *end = w->bytes + w->shape.groups * w->padded_out * w->k * 4;
    if (!t->is_last)
        return;
    if (at == end && next) {
        at = next->bytes;
        end = at + next->shape.groups * next->padded_out * next->k * 4;
    }
    if (at < end) {
        g->ahead = at;
        g->ahead_end = at + pqc_min(end - at, PQC_L2_NEXT_PANEL);
    }
}

/* The products of a task's panel, with all taps. */
static pqc_igemm_params products_of(const job *j, const task *t, const uint8_t *x)
{
    const pqc_step *s = j->step;
    const pqc_weights *w = s->weights;
    ptrdiff_t first = PQC_NR * t->panel, width = pqc_min(w->padded_out - first, PQC_NR);
    ptrdiff_t row = t->group * w->padded_out + first;
    pqc_igemm_params g = {.x = x + t->group * w->shape.in,
                          .offset = s->offset,
                          .k = w->k,
                          .w = w->bytes + row * w->k * 4,
                          .k_stride = 4 * width,
                          .panel_stride = 4 * PQC_LANES,
                          .compensation = w->compensation + row,
                          .weight_sums = w->weight_sums + row,
                          .vectors = (int)(width / PQC_LANES),
                          .half_last = width - t->channels >= PQC_LANES / 2,
                          .has_min_weight = w->has_min_weight};
    set_ahead(j, t, &g);
    return g;
}

/* Computes the sums of a task; returns how many numbers pixels are apart. */
static ptrdiff_t multiply(const job *j, const task *t, const places *p, const uint8_t *x,
                          int32_t *acc)
{
    pqc_igemm_params g = products_of(j, t, x);
    pqc.igemm_u8s8(&g, p->input, t->pixels, acc);
    return PQC_LANES * g.vectors;
}

/* Skips kernel rows that contribute only zeros: those outside the image, if zero has the code 0.  Returns how many of
 * the task's pixels, from number `done`, have the same rows. */
static int skip_taps(const pqc_step *s, const task *t, int done, pqc_igemm_params *g)
{
    const pqc_weights *w = s->weights;
    if (w->shape.zero || s->y.kernel == 1)
        return t->pixels;
    ptrdiff_t width = s->output[0].w, y = (t->first + done) / width, per_row = w->k / w->shape.kh;
    pqc_taps taps = pqc_taps_of(&s->y, y, s->input.h), next = taps;
    ptrdiff_t end = (y + 1) * width - t->first;
    for (; end < t->pixels; end += width) {
        next = pqc_taps_of(&s->y, ++y, s->input.h);
        if (next.first != taps.first || next.end != taps.end)
            break;
    }
    g->offset += taps.first * per_row;
    g->w += taps.first * per_row * g->k_stride;
    g->k = pqc_max(taps.end - taps.first, 0) * per_row;
    return (int)pqc_min(end, t->pixels) - done;
}

/* True if the sums only become codes, in images whose places fit into 32 bits. */
static bool makes_codes(const pqc_step *s)
{
    enum {
        LEAST_K = 16
    }; /* in kr groups: shorter products hide nothing of a residual's output stage */
    ptrdiff_t largest = pqc_image_size(&s->residual);
    if (s->residual.codes.content != PQC_NOTHING && s->weights->k < LEAST_K)
        return false;
    for (int i = 0; i < s->outputs; i++)
        largest = pqc_max(largest, pqc_image_size(&s->output[i]));
    return !s->chain_length && s->outputs <= 2 && (s->known & PQC_PLAIN) && largest <= INT32_MAX;
}

/* The address of the first pixel of an image of the batch, at `channel`. */
static char *first_of(const pqc_tail *tail, const pqc_image *i, ptrdiff_t image, ptrdiff_t channel)
{
    return tail->buffers[i->buffer] + i->offset + image * pqc_image_size(i) +
           channel * pqc_content_size(i->codes.content);
}

/* Computes the codes of a task from sums that do not leave L1; false if there is no body for them. */
static bool multiply_to_codes(const job *j, const task *t, const places *p, const uint8_t *x,
                              pqc_tail *tail)
{
    const pqc_step *s = j->step;
    pqc_igemm_params all = products_of(j, t, x);
    ptrdiff_t channel = t->group * s->weights->shape.out + PQC_NR * t->panel;
    pqc_output *f = &tail->to;
    f->scale = s->weights->scale + channel;
    f->bias = s->weights->bias + channel;
    for (int i = 0; i < s->outputs; i++)
        f->output[i].at = first_of(tail, &s->output[i], t->image, channel);
    if (s->residual.codes.content != PQC_NOTHING)
        f->residual.at = first_of(tail, &s->residual, t->image, channel);
    for (int done = 0, run; done < t->pixels; done += run) {
        pqc_igemm_params g = all;
        run = skip_taps(s, t, done, &g);
        pqc_code_places at = {p->residual + done, {p->output[0] + done, p->output[1] + done}};
        if (!j->codes(&g, p->input + done, &at, run, t->channels, f))
            return false;
    }
    return true;
}

/* True if the sums only become scaled floats with a bias, at equally spaced pixels. */
static bool makes_floats(const pqc_step *s)
{
    enum { UNBOUNDED = PQC_NO_FIRST_CLAMP | PQC_NO_SECOND_CLAMP };
    const pqc_image *out = &s->output[0];
    return !s->chain_length && !s->hard_swish && !s->affine.there && s->outputs == 1 &&
           s->between.content == PQC_NOTHING && s->residual.codes.content == PQC_NOTHING &&
           out->codes.content == PQC_FLOATS && out->left + out->right == 0 &&
           (s->known & UNBOUNDED) == UNBOUNDED;
}

/* Computes the floats of a task from sums that stay in registers. */
static void multiply_to_floats(const job *j, const task *t, const places *p, const uint8_t *x)
{
    const pqc_step *s = j->step;
    pqc_igemm_params g = products_of(j, t, x);
    ptrdiff_t width = s->output[0].w,
              channel = t->group * s->weights->shape.out + PQC_NR * t->panel;
    pqc_pixels to =
        pqc_image_pixels(&s->output[0], j->buffers, t->image, t->first / width, t->first % width);
    pqc_output_block b = {.to = {.scale = s->weights->scale + channel,
                                 .bias = s->weights->bias + channel,
                                 .y = (float *)to.at + channel,
                                 .pixel_stride = to.pixel / (ptrdiff_t)sizeof(float),
                                 .channel_stride = 1},
                          .pixels = t->pixels,
                          .channels = t->channels,
                          .is_far = pqc_image_size(&s->output[0]) > PQC_L2_BAND};
    j->floats(&g, p->input, &b);
}

/* The task's pixels from number `done` that are finished together: those of one row, if there is a border between
 * rows. */
static pqc_results results_of(const job *j, const task *t, int done, const pqc_tail *tail)
{
    const pqc_step *s = j->step;
    ptrdiff_t width = s->output[0].w;
    pqc_results r = {.n = t->image,
                     .y = (t->first + done) / width,
                     .x = (t->first + done) % width,
                     .channel = t->group * s->weights->shape.out + PQC_NR * t->panel,
                     .pixels = t->pixels - done,
                     .channels = t->channels};
    if (!tail->together)
        r.pixels = (int)pqc_min(width - r.x, r.pixels);
    return r;
}

static unsigned finish(const job *j, const task *t, const int32_t *acc, ptrdiff_t ld,
                       pqc_tail *tail)
{
    pqc_results r;
    unsigned flags = 0;
    for (int done = 0; done < t->pixels; done += r.pixels) {
        r = results_of(j, t, done, tail);
        flags |= pqc_tail_finish(tail, &r, acc + done * ld, ld);
    }
    return flags;
}

/* Tasks are numbered (image, group, panel, M-block), M-block fastest, so that a panel's weights stay cached.  If all
 * panels do, they vary fastest instead: an M-block's inputs then stay cached, and the lines that outputs of
 * neighbouring panels share. */
static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    _Alignas(64) int32_t acc[PQC_MAX_MC * PQC_NR]; /* also of more pixels by fewer channels */
    pqc_tail tail;
    const pqc_image *in = &j->step->input;
    const char *base = j->buffers[in->buffer] + in->offset;
    unsigned flags = 0;
    places p = {.first = -1};
    pqc_tail_begin(&tail, j->step, j->buffers);
    for (ptrdiff_t i = begin; i < end; i++) {
        task t = task_of(j, i);
        set_places(j, &t, &p);
        const uint8_t *x = (const uint8_t *)base + t.image * pqc_image_size(in);
        if (j->codes && multiply_to_codes(j, &t, &p, x, &tail))
            continue;
        if (j->floats) {
            multiply_to_floats(j, &t, &p, x);
            continue;
        }
        ptrdiff_t ld = multiply(j, &t, &p, x, acc);
        flags |= finish(j, &t, acc, ld, &tail);
    }
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

/* M-blocks per image: if there are few panels, enough to give each thread an equal share. */
static ptrdiff_t mblocks_of(const pqc_step *s, ptrdiff_t panels)
{
    enum { TASKS = 4, LEAST = 12 }; /* TASKS wanted per thread; LEAST pixels in an M-block */
    ptrdiff_t pixels = s->output[0].h * s->output[0].w, threads = pqc_get_num_threads();
    ptrdiff_t wanted = threads > 1 ? pqc_div_round_up(TASKS * threads, s->output[0].n * panels) : 1;
    ptrdiff_t each = PQC_MC * PQC_NR / pqc_min(s->weights->padded_out, PQC_NR);
    ptrdiff_t least = pixels <= PQC_MAX_MC ? 1 : pqc_div_round_up(pixels, each);
    return pqc_max(least, pqc_min(wanted, pixels / LEAST));
}

static unsigned run_conv(const pqc_step *s, char *const *buffers)
{
    enum {
        LEAST_ROWS = 4
    }; /* as many take no longer than one, for which weights are read as well */
    const pqc_weights *w = s->weights;
    const pqc_image *out = &s->output[0];
    const pqc_igemm_nhwc *tiles =
        pqc.igemm_nhwc; /* read once: another thread may select other kernels */
    if (s->tiling.fits && tiles)
        return pqc_conv_tiles_run(s, buffers, tiles);
    const pqc_winograd_nhwc *winograd = pqc.winograd_nhwc;
    if (s->winograd && winograd)
        return pqc_conv_winograd_run(s, buffers, winograd);
    ptrdiff_t pixels = out->h * out->w;
    if (w->shape.depthwise)
        return pqc_depthwise_run(s, buffers);
    job j = {.step = s, .buffers = buffers, .panels = pqc_weights_panels(w)};
    j.mblocks = mblocks_of(s, j.panels);
    j.by_mblock = w->shape.groups * w->padded_out * w->k * 4 <= PQC_L2_MBLOCK_WEIGHTS;
    j.codes = makes_codes(s) ? pqc.igemm_u8s8_codes : NULL;
    j.floats = makes_floats(s) ? pqc.igemm_u8s8_f32 : NULL;
    ptrdiff_t rows = pqc_max(out->n * pixels, LEAST_ROWS);
    ptrdiff_t products = rows * w->shape.groups * w->padded_out * (w->k * 4 + 16);
    pqc_parallel_tasks(out->n * j.panels * j.mblocks, products, PQC_MAC_GRAIN, run_tasks, &j);
    return atomic_load(&j.flags);
}

const pqc_step_type pqc_conv_step = {
    .prepare = prepare_conv, .run = run_conv, .workspace = pqc_patches_workspace};
