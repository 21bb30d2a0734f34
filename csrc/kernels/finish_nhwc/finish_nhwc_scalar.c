#include "finish_nhwc.h"

#include "codes_f32/codes_f32_scalar.h"

#include <math.h>

enum { CHANNELS = 64 }; /* at a time */

/* What is added, and what is stored: some channels of a pixel. */
static void add(const pqc_pixels *from, int pixel, float *y, int channels)
{
    float other[CHANNELS];
    decode_loops(from, (const char *)from->at + pixel * from->pixel, other, channels);
    for (int c = 0; c < channels; c++)
        y[c] += other[c];
}

static unsigned finish_pixel(const int32_t *acc, int pixel, int channels, const pqc_output *f)
{
    float y[CHANNELS];
    unsigned flags = 0;
    for (int c = 0; c < channels; c++) {
        y[c] = pqc_finish((float)acc[c], f->scale[c], f->bias[c]);
        y[c] = pqc_at_most(pqc_at_least(y[c], f->low), f->high);
    }
    if (f->hard_swish)
        for (int c = 0; c < channels; c++)
            y[c] = pqc_hard_swish(y[c]);
    if (f->residual.content != PQC_NOTHING)
        add(&f->residual, pixel, y, channels);
    for (int c = 0; c < channels; c++)
        y[c] = pqc_at_most(pqc_at_least(y[c], f->second_low), f->second_high);
    for (int i = 0; i < f->outputs; i++) {
        const pqc_pixels *to = &f->output[i];
        flags |= encode_loops(to, y, (char *)to->at + pixel * to->pixel, channels);
    }
    return flags;
}

unsigned pqc_finish_nhwc_scalar(const int32_t *acc, ptrdiff_t ld, int pixels, int channels,
                                const pqc_output *f)
{
    unsigned flags = 0;
    for (int c = 0; c < channels; c += CHANNELS) {
        pqc_output part = pqc_output_from(f, c);
        int width = channels - c < CHANNELS ? channels - c : CHANNELS;
        for (int p = 0; p < pixels; p++)
            flags |= finish_pixel(acc + p * ld + c, p, width, &part);
    }
    return flags;
}

/* Whether the codes' own bounds do what a last clamp does. */
static bool is_within_codes(const pqc_output *f, float low, float high)
{
    bool within = true;
    for (int i = 0; i < f->outputs; i++) {
        const pqc_pixels *to = &f->output[i];
        within &= to->content != PQC_FLOATS && to->mul > 0 && low * to->mul <= to->lo &&
                  high * to->mul >= to->hi;
    }
    return within;
}

static bool is_never_nan(const pqc_output *f, float largest)
{
    bool finite = largest < 0x1p100f && f->residual.content != PQC_FLOATS;
    if (f->residual.content != PQC_NOTHING)
        largest += 0x1p17f / f->residual.div; /* a difference of codes */
    for (int i = 0; i < f->outputs; i++)
        finite &= f->output[i].content == PQC_FLOATS || largest * f->output[i].mul < INFINITY;
    return finite;
}

unsigned pqc_finish_known(const pqc_output *f, float largest)
{
    bool first = f->low > -INFINITY || f->high < INFINITY;
    bool second = f->second_low > -INFINITY || f->second_high < INFINITY;
    bool alone = f->residual.content == PQC_NOTHING && !f->hard_swish;
    unsigned known = 0;
    if (f->second_low >= 0 || (alone && f->low >= 0))
        known |= PQC_NEVER_NEGATIVE;
    if (is_never_nan(f, largest))
        known |= PQC_NEVER_NAN;
    if (!first || (alone && !second && is_within_codes(f, f->low, f->high)))
        known |= PQC_NO_FIRST_CLAMP;
    if (!second || is_within_codes(f, f->second_low, f->second_high))
        known |= PQC_NO_SECOND_CLAMP;
    bool refuses = false;
    for (int i = 0; i < f->outputs; i++)
        refuses |= f->output[i].refuses_negative;
    if ((known & PQC_NEVER_NAN) && (known & PQC_NO_FIRST_CLAMP) && !f->hard_swish &&
        (!refuses || (known & PQC_NEVER_NEGATIVE)))
        known |= PQC_PLAIN;
    return known;
}
