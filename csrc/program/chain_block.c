/* Loads operands of an elementwise chain into float32 registers, and stores its result as floats or codes. */
#include "chain_block.h"

#include "dispatch.h"

#include <string.h>

enum { MAX_CHANNELS = 1 << 29 };

pqc_view pqc_view_of(const pqc_image *i, const pqc_image *of, char *const *buffers)
{
    pqc_view v = {.form = i->codes, .base = pqc_image_pixels(i, buffers, 0, 0, 0).at};
    v.rows = i->h > 1 ? of->h / i->h : 1;
    v.columns = i->w > 1 ? of->w / i->w : 1;
    v.n = i->n > 1 ? pqc_image_size(i) : 0;
    v.y = i->h > 1 ? pqc_image_row(i) : 0;
    v.x = i->w > 1 ? i->codes.pixel : 0;
    v.c = i->c > 1 ? pqc_content_size(i->codes.content) : 0;
    return v;
}

void pqc_registers_begin(pqc_registers *r)
{
    for (int i = 0; i < PQC_MAX_REGISTERS; i++)
        r->values[i] = r->space[i];
    for (int i = 0; i < PQC_MAX_OPERANDS; i++)
        r->loaded[i] = -1;
}

static char *at(const pqc_view *v, const pqc_chain_block *b)
{
    return v->base + b->n * v->n + b->y / v->rows * v->y + b->x / v->columns * v->x +
           b->first * v->c;
}

static bool is_contiguous(const pqc_view *v, const pqc_chain_block *b)
{
    ptrdiff_t size = pqc_content_size(v->form.content);
    bool apart = v->x != b->channels * size || v->columns > 1;
    return (v->c == size || b->channels == 1) && (!apart || b->pixels == 1);
}

static void repeat(float *x, ptrdiff_t length, ptrdiff_t times)
{
    for (ptrdiff_t i = 1; i < times; i++)
        memcpy(x + i * length, x, (size_t)length * sizeof *x);
}

/* Loads the channels of one pixel, or repeats its single number. */
static void load_pixel(const pqc_view *v, const char *from, float *x, ptrdiff_t channels)
{
    pqc.decode_f32(&v->form, from, x, v->c ? channels : 1);
    for (ptrdiff_t c = 1; !v->c && c < channels; c++)
        x[c] = x[0];
}

/* Loads pixels, each distinct one once. */
static void load_pixels(const pqc_view *v, const pqc_chain_block *b, const char *from, float *x)
{
    ptrdiff_t times;
    for (ptrdiff_t p = 0; p < b->pixels; p += times, from += v->x) {
        times = pqc_min(v->columns - (b->x + p) % v->columns, b->pixels - p);
        load_pixel(v, from, x + p * b->channels, b->channels);
        repeat(x + p * b->channels, b->channels, times);
    }
}

void pqc_chain_load(const pqc_view *v, const pqc_chain_block *b, int number, pqc_registers *r)
{
    const char *from = at(v, b);
    float *x = r->space[number];
    bool shared = v->x == 0 && v->y == 0;
    ptrdiff_t count = b->pixels * b->channels, key = (v->n ? b->n : 0) * MAX_CHANNELS + b->first;
    if (!shared && is_contiguous(v, b)) {
        bool there = v->form.content == PQC_FLOATS;
        r->values[number] = there ? (float *)(void *)at(v, b) : x;
        if (!there)
            pqc.decode_f32(&v->form, from, x, count);
        return;
    }
    if (shared && r->loaded[number] == key && r->count[number] >= count)
        return;
    if (v->x == 0) {
        load_pixel(v, from, x, b->channels);
        repeat(x, b->channels, b->pixels);
    }
    if (v->x != 0)
        load_pixels(v, b, from, x);
    r->values[number] = x;
    r->loaded[number] = shared ? key : -1;
    r->count[number] = count;
}

unsigned pqc_chain_store(const pqc_view *v, const pqc_chain_block *b, const float *x)
{
    char *to = at(v, b);
    unsigned flags = 0;
    if (is_contiguous(v, b))
        return pqc.encode_f32(&v->form, x, to, b->pixels * b->channels);
    for (ptrdiff_t p = 0; p < b->pixels; p++)
        flags |= pqc.encode_f32(&v->form, x + p * b->channels, to + p * v->x, b->channels);
    return flags;
}
