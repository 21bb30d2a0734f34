/* Arrays to images and back. */
#include "step.h"

#include "dispatch.h"
#include "parallel.h"

#include <math.h>
#include <stdatomic.h>

enum { FLOATS_GRAIN = 1 << 14, CHANNELS = 16 };

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

static bool has_negative(const float *x, ptrdiff_t n)
{
    bool found = false;
    for (ptrdiff_t i = 0; i < n; i++)
        found |= x[i] < 0;
    return found;
}

static void put(const pqc_pixels *to, ptrdiff_t pixel, ptrdiff_t channel, int32_t code)
{
    char *at = (char *)to->at + pixel * to->pixel;
    if (to->content == PQC_U8_CODES)
        ((uint8_t *)at)[channel] = (uint8_t)code;
    else
        ((int16_t *)(void *)at)[channel] = (int16_t)code;
}

/* At most PQC_BLOCK pixels of one channel. */
static unsigned import_codes(const float *x, const pqc_pixels *to, ptrdiff_t channel, ptrdiff_t n)
{
    float codes[PQC_BLOCK];
    bool nan = false;
    pqc.quantize_f32(x, codes, n, (pqc_int_quant){to->mul, to->div, to->lo, to->hi});
    for (ptrdiff_t i = 0; i < n; i++)
        nan |= isnan(codes[i]) != 0;
    if (nan)
        return PQC_U8_NAN;
    for (ptrdiff_t i = 0; i < n; i++)
        put(to, i, channel, (int32_t)codes[i] + to->zero);
    return to->refuses_negative && has_negative(x, n) ? PQC_U8_NEGATIVE : 0;
}

static unsigned import_floats(const float *x, const pqc_pixels *to, ptrdiff_t channel, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        ((float *)(void *)((char *)to->at + i * to->pixel))[channel] = x[i];
    return 0;
}

/* A row of an array, channel by channel. */
static unsigned import_row(const job *j, ptrdiff_t n, ptrdiff_t y)
{
    const pqc_image *in = &j->step->input;
    unsigned flags = 0;
    for (ptrdiff_t c = 0; c < in->c; c++)
        for (ptrdiff_t x = 0; x < in->w; x += PQC_BLOCK) {
            pqc_pixels to = pqc_image_pixels(&j->step->output[0], j->buffers, n, y, x);
            const float *from = array_row(j, in, n, c, y) + x;
            flags |= (to.content == PQC_FLOATS ? import_floats : import_codes)(
                from, &to, c, pqc_min(in->w - x, PQC_BLOCK));
        }
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
        ptrdiff_t size = pqc_content_size(to.content);
        to.pixel = size;
        for (ptrdiff_t c = 0; c < in->c; c += PQC_BLOCK) {
            flags |= import_codes(from + c, &to, 0, pqc_min(in->c - c, PQC_BLOCK));
            to.at = (char *)to.at + PQC_BLOCK * size;
        }
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

static float value_at(const pqc_pixels *from, ptrdiff_t pixel, ptrdiff_t channel)
{
    const char *at = (const char *)from->at + pixel * from->pixel;
    if (from->content == PQC_FLOATS)
        return ((const float *)(const void *)at)[channel];
    int32_t code = from->content == PQC_U8_CODES ? ((const uint8_t *)at)[channel]
                                                 : ((const int16_t *)(const void *)at)[channel];
    return (float)(code - from->zero) / from->div;
}

/* Some channels of a row at a time: their lines of the array stay in the cache. */
static void export_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const pqc_image *in = &j->step->input, *out = &j->step->output[0];
    for (ptrdiff_t row = begin; row < end; row++) {
        ptrdiff_t n = row / in->h, y = row % in->h;
        pqc_pixels from = pqc_image_pixels(in, j->buffers, n, y, 0);
        for (ptrdiff_t first = 0; first < in->c; first += CHANNELS)
            for (ptrdiff_t x = 0; x < in->w; x++)
                for (ptrdiff_t c = first; c < pqc_min(first + CHANNELS, in->c); c++)
                    array_row(j, out, n, c, y)[x] = value_at(&from, x, c);
    }
}

void pqc_export_step_run(const pqc_step *s, char *const *buffers)
{
    job j = {.step = s, .buffers = buffers};
    pqc_parallel_tasks(s->input.n * s->input.h, elements(&s->input), FLOATS_GRAIN, export_rows, &j);
}
