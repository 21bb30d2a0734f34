/* Arrays to images and back. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

#include <stdatomic.h>
#include <string.h>

enum { FLOATS_GRAIN = 1 << 14, CHANNELS = 16, PIXELS = 256 };

typedef struct {
    const pqc_step *step;
    char *const *buffers;
    atomic_uint flags;
} job;

/* Floats of a row of a channel. */
static float *array_row(const job *j, const pqc_image *array, ptrdiff_t n, ptrdiff_t c, ptrdiff_t y)
{
    char *base = j->buffers[array->buffer] + array->offset;
    return (float *)(void *)base + ((n * array->c + c) * array->h + y) * array->w;
}

/* Codes of some channels, each of some pixels that follow each other. */
typedef struct {
    _Alignas(64) char row[CHANNELS][PIXELS * sizeof(float)];
} tile;

/* From rows of channels to pixels.  `size` bytes an element; a constant where this is inlined. */
PQC_INLINE void interleave(const tile *t, char *to, ptrdiff_t pixel, ptrdiff_t channels,
                           ptrdiff_t pixels, size_t size)
{
    for (ptrdiff_t i = 0; i < pixels; i++, to += pixel)
        for (ptrdiff_t c = 0; c < channels; c++)
            memcpy(to + c * (ptrdiff_t)size, t->row[c] + i * (ptrdiff_t)size, size);
}

static unsigned import_tile(const job *j, ptrdiff_t n, ptrdiff_t y, ptrdiff_t x, ptrdiff_t first,
                            tile *t)
{
    const pqc_image *in = &j->step->input;
    pqc_pixels to = pqc_image_pixels(&j->step->output[0], j->buffers, n, y, x);
    ptrdiff_t channels = pqc_min(in->c - first, CHANNELS), pixels = pqc_min(in->w - x, PIXELS);
    ptrdiff_t size = pqc_content_size(to.content);
    char *at = (char *)to.at + first * size;
    unsigned flags = 0;
    for (ptrdiff_t c = 0; c < channels; c++)
        flags |= pqc.encode_f32(&to, array_row(j, in, n, first + c, y) + x, t->row[c], pixels);
    if (size == 1)
        interleave(t, at, to.pixel, channels, pixels, 1);
    else if (size == 2)
        interleave(t, at, to.pixel, channels, pixels, 2);
    else
        interleave(t, at, to.pixel, channels, pixels, 4);
    return flags;
}

/* A row of an array. */
static unsigned import_row(const job *j, ptrdiff_t n, ptrdiff_t y)
{
    const pqc_image *in = &j->step->input;
    tile t;
    unsigned flags = 0;
    for (ptrdiff_t x = 0; x < in->w; x += PIXELS)
        for (ptrdiff_t first = 0; first < in->c; first += CHANNELS)
            flags |= import_tile(j, n, y, x, first, &t);
    return flags;
}

/* A row of pixels, whose channels lie together on both sides. */
static unsigned import_pixels(const job *j, ptrdiff_t n, ptrdiff_t y)
{
    const pqc_image *in = &j->step->input;
    unsigned flags = 0;
    for (ptrdiff_t x = 0; x < in->w; x++) {
        const float *from = pqc_image_pixels(in, j->buffers, n, y, x).at;
        pqc_pixels to = pqc_image_pixels(&j->step->output[0], j->buffers, n, y, x);
        flags |= pqc.encode_f32(&to, from, to.at, in->c);
    }
    return flags;
}

static void import_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    const pqc_image *in = &j->step->input;
    unsigned flags = 0;
    for (ptrdiff_t row = begin; row < end; row++)
        flags |= (in->nchw ? import_row : import_pixels)(j, row / in->h, row % in->h);
    atomic_fetch_or_explicit(&j->flags, flags, memory_order_relaxed);
}

static ptrdiff_t elements(const pqc_image *i)
{
    return i->n * i->h * i->w * i->c;
}

unsigned pqc_import_step_run(const pqc_step *s, char *const *buffers)
{
    job j = {.step = s, .buffers = buffers};
    pqc_parallel_tasks(s->input.n * s->input.h, elements(&s->input), FLOATS_GRAIN, import_rows, &j);
    return atomic_load(&j.flags);
}

/* Some channels of some pixels: decoded, then a row of each channel. */
static void export_tile(const job *j, ptrdiff_t n, ptrdiff_t y, ptrdiff_t x, ptrdiff_t first)
{
    const pqc_image *in = &j->step->input, *out = &j->step->output[0];
    float values[PIXELS * CHANNELS];
    pqc_pixels from = pqc_image_pixels(in, j->buffers, n, y, x);
    ptrdiff_t channels = pqc_min(in->c - first, CHANNELS), pixels = pqc_min(in->w - x, PIXELS);
    const char *at = (const char *)from.at + first * pqc_content_size(from.content);
    if (from.pixel == channels * pqc_content_size(from.content))
        pqc.decode_f32(&from, at, values, pixels * channels);
    else
        for (ptrdiff_t i = 0; i < pixels; i++)
            pqc.decode_f32(&from, at + i * from.pixel, values + i * channels, channels);
    for (ptrdiff_t c = 0; c < channels; c++) {
        float *to = array_row(j, out, n, first + c, y) + x;
        for (ptrdiff_t i = 0; i < pixels; i++)
            to[i] = values[i * channels + c];
    }
}

static void export_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_image *in = &j->step->input;
    for (ptrdiff_t row = begin; row < end; row++)
        for (ptrdiff_t x = 0; x < in->w; x += PIXELS)
            for (ptrdiff_t first = 0; first < in->c; first += CHANNELS)
                export_tile(j, row / in->h, row % in->h, x, first);
}

void pqc_export_step_run(const pqc_step *s, char *const *buffers)
{
    job j = {.step = s, .buffers = buffers};
    pqc_parallel_tasks(s->input.n * s->input.h, elements(&s->input), FLOATS_GRAIN, export_rows, &j);
}
