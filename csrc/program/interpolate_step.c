/* Interpolation of images of floats along y or x.  Where each output lies is known when a call comes, in two tables:
 *
 *   residual  numbers of rows or columns, int64, each in the place of two floats: `taps` for each output row or column
 *   more[0]   their weights
 *
 * `layout`: the axis, 0 for y and 1 for x; taps. */
#include "step.h"

#include "chain_block.h"
#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum {
    GRAIN = 1 << 14,
    MAX_TAPS = 8,
    ALONG_X = 64, /* output pixels at a time */
    FLOATS_OF_INDEX = sizeof(int64_t) / sizeof(float)
};

typedef struct {
    const pqc_step *step;
    const char *x, *place;
    const float *weight;
    pqc_view output[PQC_MAX_OUTPUTS];
    ptrdiff_t taps, pixels, blocks; /* pixels per block, blocks per row */
    bool along_x;
    atomic_uint flags;
} job;

/* True if the image is `rows` contiguous rows of `floats`. */
static bool is_table(const pqc_image *i, ptrdiff_t rows, ptrdiff_t floats)
{
    return i->codes.content == PQC_FLOATS && !i->nchw && i->n == 1 && i->h == 1 && i->w == rows &&
           i->c == floats && i->codes.pixel == floats * (ptrdiff_t)sizeof(float);
}

static const char *prepare_interpolate(pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    ptrdiff_t taps = (ptrdiff_t)pqc_clamp(s->layout[1], 0, MAX_TAPS + 1);
    bool along_x = s->layout[0] == 1;
    if ((!along_x && s->layout[0] != 0) || taps < 1 || taps > MAX_TAPS)
        return "an axis and taps expected";
    for (int i = 2; i < PQC_LAYOUT; i++)
        if (s->layout[i] != 0)
            return "a layout that is not used";
    if (in->nchw || in->codes.content != PQC_FLOATS)
        return "an image of floats expected";
    for (int i = 0; i < s->outputs; i++) {
        const pqc_image *o = &s->output[i];
        if (o->nchw || o->n != in->n || o->c != in->c || o->h != out->h || o->w != out->w)
            return "outputs of one shape, as many images and channels expected";
    }
    if (along_x ? out->h != in->h : out->w != in->w)
        return "an output of another size";
    ptrdiff_t count = along_x ? out->w : out->h;
    return is_table(&s->residual, count, FLOATS_OF_INDEX * taps) &&
                   is_table(&s->more[0], count, taps)
               ? NULL
               : "places and weights for each output expected";
}

/* Copies the places of outputs from `first`; false if one lies outside the image. */
static bool get_places(const job *j, ptrdiff_t first, ptrdiff_t count, ptrdiff_t *places)
{
    const pqc_image *in = &j->step->input;
    ptrdiff_t size = j->along_x ? in->w : in->h;
    const char *at = j->place + first * j->taps * (ptrdiff_t)sizeof(int64_t);
    for (ptrdiff_t i = 0; i < count * j->taps; i++) {
        int64_t place;
        memcpy(&place, at + i * (ptrdiff_t)sizeof place, sizeof place);
        if (place < 0 || place >= size)
            return false;
        places[i] = (ptrdiff_t)place;
    }
    return true;
}

static unsigned store(const job *j, const pqc_chain_block *b, const float *y)
{
    unsigned flags = 0;
    for (int i = 0; i < j->step->outputs; i++)
        flags |= pqc_chain_store(&j->output[i], b, y);
    return flags;
}

static const char *pixel_at(const job *j, const pqc_chain_block *b, ptrdiff_t y, ptrdiff_t x)
{
    return j->x + pqc_image_at(&j->step->input, b->n, y, x) + b->first * (ptrdiff_t)sizeof(float);
}

static unsigned run_block(const job *j, const pqc_chain_block *b)
{
    const pqc_image *in = &j->step->input;
    ptrdiff_t places[ALONG_X * MAX_TAPS], first = j->along_x ? b->x : b->y;
    float y[PQC_BLOCK];
    if (!get_places(j, first, j->along_x ? b->pixels : 1, places))
        return PQC_STEP_BAD_INDEX;
    pqc_interpolation p = {.place = places,
                           .weight = j->weight + first * j->taps,
                           .taps = j->taps,
                           .row = j->along_x ? in->codes.pixel : pqc_image_row(in)};
    bool joined = in->codes.pixel == b->channels * (ptrdiff_t)sizeof(float);
    if (j->along_x) {
        p.x = pixel_at(j, b, b->y, 0);
        pqc.interpolate_f32(&p, b->pixels, b->channels, y);
    } else if (joined) {
        p.x = pixel_at(j, b, 0, b->x);
        pqc.interpolate_f32(&p, 1, b->pixels * b->channels, y);
    }
    for (ptrdiff_t i = 0; i < b->pixels && !j->along_x && !joined; i++) {
        p.x = pixel_at(j, b, 0, b->x + i);
        pqc.interpolate_f32(&p, 1, b->channels, y + i * b->channels);
    }
    return store(j, b, y);
}

/* Tasks are numbered (image, row, block of pixels). */
static void run_blocks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    const pqc_image *out = &j->step->output[0];
    unsigned flags = 0;
    for (ptrdiff_t task = begin; task < end; task++) {
        pqc_chain_block b = {.n = task / j->blocks / out->h, .y = task / j->blocks % out->h};
        b.x = task % j->blocks * j->pixels;
        b.pixels = pqc_min(j->pixels, out->w - b.x);
        for (; b.first < out->c; b.first += PQC_BLOCK) {
            b.channels = pqc_min(out->c - b.first, PQC_BLOCK);
            flags |= run_block(j, &b);
        }
    }
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

static unsigned run_interpolate(const pqc_step *s, char *const *buffers)
{
    const pqc_image *out = &s->output[0];
    job j = {.step = s,
             .x = buffers[s->input.buffer] + s->input.offset,
             .place = pqc_image_pixels(&s->residual, buffers, 0, 0, 0).at,
             .weight = pqc_image_pixels(&s->more[0], buffers, 0, 0, 0).at,
             .taps = (ptrdiff_t)s->layout[1],
             .along_x = s->layout[0] == 1};
    for (int i = 0; i < s->outputs; i++)
        j.output[i] = pqc_view_of(&s->output[i], &s->output[i], buffers);
    j.pixels = pqc_clamp(PQC_BLOCK / out->c, 1, j.along_x ? ALONG_X : PQC_BLOCK);
    j.blocks = pqc_div_round_up(out->w, j.pixels);
    ptrdiff_t rows = out->n * out->h;
    pqc_parallel_tasks(rows * j.blocks, rows * out->w * out->c * j.taps, GRAIN, run_blocks, &j);
    return atomic_load(&j.flags);
}

const pqc_step_type pqc_interpolate_step = {
    .prepare = prepare_interpolate, .run = run_interpolate, .has_layout = true};
