/* Imports NumPy arrays (nchw floats) as images of floats or codes, and exports images as arrays. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

/* PIXELS: pixels of a row, or channels, at a time.  EXPORTED: pixels that fill a cache line of an array. */
enum { FLOATS_GRAIN = 1 << 14, QUAD = 4, PIXELS = 64, EXPORTED = 16, SPAN = 256 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
    ptrdiff_t tasks; /* tasks per image */
    ptrdiff_t width; /* pixels per row; if all pixels of an image are contiguous, all of them */
    atomic_uint flags;
} job;

/* The floats of one channel, whose pixels are contiguous. */
static float *array_plane(const job *j, const pqc_image *array, ptrdiff_t n, ptrdiff_t c)
{
    char *base = j->buffers[array->buffer] + array->offset;
    return (float *)(void *)base + (n * array->c + c) * array->h * array->w;
}

/* QUAD channels of up to PIXELS pixels, on their way into an image of codes. */
typedef union {
    uint8_t bytes[QUAD][PIXELS];
    int16_t words[QUAD][PIXELS];
    uint32_t quads[PIXELS]; /* the bytes of one pixel each */
} quad;

static void join_bytes(quad *q)
{
    uint32_t joined[PIXELS];
    for (int i = 0; i < PIXELS; i++)
        joined[i] = q->bytes[0][i] | (uint32_t)q->bytes[1][i] << 8 |
                    (uint32_t)q->bytes[2][i] << 16 | (uint32_t)q->bytes[3][i] << 24;
    memcpy(q->quads, joined, sizeof joined);
}

static unsigned fill_quad(quad *q, const float *const *x, const pqc_pixels *to, ptrdiff_t pixels,
                          ptrdiff_t channels)
{
    unsigned flags = 0;
    for (ptrdiff_t c = 0; c < QUAD; c++) {
        void *room = to->content == PQC_U8_CODES ? (void *)q->bytes[c] : (void *)q->words[c];
        if (c < channels)
            flags |= pqc.encode_f32(to, x[c], room, pixels);
        else
            memset(room, 0, (size_t)(PIXELS * pqc_content_size(to->content)));
    }
    if (to->content == PQC_U8_CODES)
        join_bytes(q);
    return flags;
}

/* Stores pixels [first, first + pixels) of the quad; the last quad has `channels` channels. */
static void put_quad(const quad *q, const pqc_pixels *to, ptrdiff_t first, ptrdiff_t pixels,
                     ptrdiff_t channels)
{
    char *at = to->at;
    if (to->content == PQC_U8_CODES) {
        ptrdiff_t whole = channels == QUAD ? pixels : 0;
        for (ptrdiff_t i = 0; i < whole; i++)
            memcpy(at + i * to->pixel, &q->quads[first + i], QUAD);
        for (ptrdiff_t i = whole; i < pixels; i++)
            for (ptrdiff_t c = 0; c < channels; c++)
                at[i * to->pixel + c] = (char)(q->quads[first + i] >> 8 * c);
    } else
        for (ptrdiff_t i = 0; i < pixels; i++)
            for (ptrdiff_t c = 0; c < channels; c++)
                ((int16_t *)(void *)(at + i * to->pixel))[c] = q->words[c][first + i];
}

/* Transposes some pixels from `first`, between an array and an image of floats, which has no border. */
static void transpose_run(const pqc_image *i, const job *j, float *plane, ptrdiff_t n,
                          ptrdiff_t first, ptrdiff_t pixels, bool from_array)
{
    ptrdiff_t size = i->h * i->w, pixel = i->codes.pixel / (ptrdiff_t)sizeof(float);
    float *image = (float *)pqc_image_pixels(i, j->buffers, n, 0, 0).at + first * pixel;
    if (from_array && i->c == 1 && pixel == 1)
        memmove(image, plane + first, (size_t)pixels * sizeof *image);
    else if (from_array)
        pqc.transpose_f32(plane + first, size, i->c, pixels, image, pixel);
    else
        pqc.transpose_f32(image, pixel, pixels, i->c, plane + first, size);
}

/* Imports pixels [first, first + PIXELS) of an array, several channels at a time, so that the lines of their pixels
 * stay cached. */
static unsigned import_run(const job *j, ptrdiff_t n, ptrdiff_t first)
{
    const pqc_image *in = &j->step->input;
    ptrdiff_t pixels = pqc_min(in->h * in->w - first, PIXELS);
    unsigned flags = 0;
    if (j->step->output[0].codes.content == PQC_FLOATS) {
        transpose_run(&j->step->output[0], j, array_plane(j, in, n, 0), n, first, pixels, true);
        return 0;
    }
    for (ptrdiff_t c = 0; c < in->c; c += QUAD) {
        quad q;
        const float *from[QUAD];
        ptrdiff_t channels = pqc_min(in->c - c, QUAD);
        for (ptrdiff_t i = 0; i < QUAD; i++)
            from[i] = array_plane(j, in, n, pqc_min(c + i, in->c - 1)) + first;
        flags |= fill_quad(&q, from, &j->step->output[0].codes, pixels, channels);
        for (ptrdiff_t done = 0, run; done < pixels; done += run) {
            ptrdiff_t y = (first + done) / in->w, x = (first + done) % in->w;
            pqc_pixels to = pqc_image_pixels(&j->step->output[0], j->buffers, n, y, x);
            to.at = (char *)to.at + c * pqc_content_size(to.content);
            run = pqc_min(in->w - x, pixels - done);
            put_quad(&q, &to, done, run, channels);
        }
    }
    return flags;
}

/* Imports at most SPAN pixels of a row whose channels are contiguous on both sides. */
static unsigned import_pixels(const job *j, ptrdiff_t n, ptrdiff_t y, ptrdiff_t x)
{
    const pqc_image *in = &j->step->input;
    ptrdiff_t pixels = pqc_min(in->w - x, SPAN), bytes = in->c * (ptrdiff_t)sizeof(float);
    pqc_pixels to = pqc_image_pixels(&j->step->output[0], j->buffers, n, y, x);
    const char *from = pqc_image_pixels(in, j->buffers, n, y, x).at;
    if (in->codes.pixel == bytes && to.pixel == in->c * pqc_content_size(to.content))
        return pqc.encode_f32(&to, (const float *)(const void *)from, to.at, pixels * in->c);
    unsigned flags = 0;
    for (ptrdiff_t i = 0; i < pixels; i++)
        flags |= pqc.encode_f32(&to, (const float *)(const void *)(from + i * in->codes.pixel),
                                (char *)to.at + i * to.pixel, in->c);
    return flags;
}

/* True if an array with few channels becomes contiguous bytes. */
static bool is_dense(const pqc_step *s)
{
    const pqc_image *in = &s->input, *out = &s->output[0];
    return in->nchw && in->c <= PQC_MAX_INTERLEAVED && out->codes.content == PQC_U8_CODES &&
           out->codes.pixel == in->c;
}

/* Imports at most SPAN pixels of such a row. */
static unsigned import_planes(const job *j, ptrdiff_t n, ptrdiff_t y, ptrdiff_t x)
{
    const pqc_image *in = &j->step->input;
    ptrdiff_t pixels = pqc_min(j->width - x, SPAN);
    pqc_pixels to = pqc_image_pixels(&j->step->output[0], j->buffers, n, y, x);
    uint8_t bytes[PQC_MAX_INTERLEAVED][SPAN];
    const uint8_t *plane[PQC_MAX_INTERLEAVED];
    unsigned flags = 0;
    for (ptrdiff_t c = 0; c < in->c; c++) {
        plane[c] = bytes[c];
        flags |= pqc.encode_f32(&to, array_plane(j, in, n, c) + y * in->w + x,
                                in->c == 1 ? to.at : bytes[c], pixels);
    }
    if (in->c > 1)
        pqc.interleave_u8(plane, (int)in->c, pixels, to.at);
    return flags;
}

/* Tasks are numbered (image, row, span of SPAN pixels) or (image, run of PIXELS pixels of an array). */
static void import_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    bool dense = is_dense(j->step), array = j->step->input.nchw && !dense;
    ptrdiff_t spans = pqc_div_round_up(j->width, SPAN);
    unsigned flags = 0;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t n = i / j->tasks, part = i % j->tasks;
        ptrdiff_t y = part / spans, x = part % spans * SPAN;
        flags |= array   ? import_run(j, n, part * PIXELS)
                 : dense ? import_planes(j, n, y, x)
                         : import_pixels(j, n, y, x);
    }
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

static ptrdiff_t elements(const pqc_image *i)
{
    return i->n * i->h * i->w * i->c;
}

static bool same_shape(const pqc_image *a, const pqc_image *b)
{
    return a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c;
}

static const char *prepare_import(pqc_step *s)
{
    const pqc_image *from = &s->input, *to = &s->output[0];
    if (from->codes.content != PQC_FLOATS || to->nchw || !same_shape(from, to))
        return "floats and an image of their shape expected";
    return from->nchw || to->codes.content != PQC_FLOATS ? NULL : "an array or codes expected";
}

static unsigned run_import(const pqc_step *s, char *const *buffers)
{
    const pqc_image *in = &s->input;
    bool dense = is_dense(s), whole = dense && s->output[0].left + s->output[0].right == 0;
    job j = {.step = s, .buffers = buffers, .width = whole ? in->h * in->w : in->w};
    j.tasks = in->nchw && !dense ? pqc_div_round_up(in->h * in->w, PIXELS)
                                 : in->h * in->w / j.width * pqc_div_round_up(j.width, SPAN);
    pqc_parallel_tasks(in->n * j.tasks, elements(in), FLOATS_GRAIN, import_tasks, &j);
    return atomic_load(&j.flags);
}

const pqc_step_type pqc_import_step = {
    .prepare = prepare_import, .run = run_import, .expects = PQC_ONE_OUTPUT};

/* Exports EXPORTED pixels from `first`, which fill a line of an array, for some channels. */
static void export_run(const job *j, ptrdiff_t n, ptrdiff_t first, ptrdiff_t channel)
{
    const pqc_image *in = &j->step->input;
    ptrdiff_t pixels = pqc_min(in->h * in->w - first, EXPORTED);
    ptrdiff_t channels = pqc_min(in->c - channel, PIXELS);
    float room[EXPORTED][PIXELS];
    if (in->codes.content == PQC_FLOATS) {
        pqc_image part = *in;
        part.c = channels;
        part.offset += channel * (ptrdiff_t)sizeof(float);
        transpose_run(&part, j, array_plane(j, &j->step->output[0], n, channel), n, first, pixels,
                      false);
        return;
    }
    for (ptrdiff_t i = 0; i < pixels; i++) {
        ptrdiff_t pixel = first + i;
        pqc_pixels from = pqc_image_pixels(in, j->buffers, n, pixel / in->w, pixel % in->w);
        const char *at = (const char *)from.at + channel * pqc_content_size(from.content);
        pqc.decode_f32(&from, at, room[i], channels);
    }
    for (ptrdiff_t c = 0; c < channels; c++) {
        float *to = array_plane(j, &j->step->output[0], n, channel + c) + first;
        if (pixels == EXPORTED)
            for (int i = 0; i < EXPORTED; i++)
                to[i] = room[i][c];
        else
            for (ptrdiff_t i = 0; i < pixels; i++)
                to[i] = room[i][c];
    }
}

/* True if the numbers of a row are contiguous on both sides. */
static bool exports_rows(const pqc_image *in)
{
    return in->c == 1 && in->codes.pixel == pqc_content_size(in->codes.content);
}

/* Tasks are numbered (image, run of pixels or row). */
static void export_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_image *in = &j->step->input;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t n = i / j->tasks, part = i % j->tasks;
        if (exports_rows(in)) {
            pqc_pixels from = pqc_image_pixels(in, j->buffers, n, part, 0);
            float *to = array_plane(j, &j->step->output[0], n, 0) + part * in->w;
            pqc.decode_f32(&from, from.at, to, in->w);
        }
        for (ptrdiff_t channel = 0; channel < in->c && !exports_rows(in); channel += PIXELS)
            export_run(j, n, part * EXPORTED, channel);
    }
}

static const char *prepare_export(pqc_step *s)
{
    const pqc_image *from = &s->input, *to = &s->output[0];
    return to->nchw && !from->nchw && same_shape(from, to)
               ? NULL
               : "an image and an array of its shape expected";
}

static unsigned run_export(const pqc_step *s, char *const *buffers)
{
    const pqc_image *in = &s->input;
    job j = {.step = s, .buffers = buffers};
    j.tasks = exports_rows(in) ? in->h : pqc_div_round_up(in->h * in->w, EXPORTED);
    pqc_parallel_tasks(in->n * j.tasks, elements(in), FLOATS_GRAIN, export_tasks, &j);
    return 0;
}

const pqc_step_type pqc_export_step = {
    .prepare = prepare_export, .run = run_export, .expects = PQC_ONE_OUTPUT};
