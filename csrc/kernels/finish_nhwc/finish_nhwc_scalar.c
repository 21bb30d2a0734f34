#include "finish_nhwc.h"

#include <math.h>

/* In this order of operands NaN stays NaN. */
static float clamp(float y, float low, float high)
{
    y = y < low ? low : y;
    return y > high ? high : y;
}

static float value_at(const pqc_pixels *from, int pixel, int channel)
{
    const char *at = (const char *)from->at + pixel * from->pixel;
    if (from->content == PQC_FLOATS)
        return ((const float *)(const void *)at)[channel];
    int32_t code = from->content == PQC_U8_CODES ? ((const uint8_t *)at)[channel]
                                                 : ((const int16_t *)(const void *)at)[channel];
    return (float)(code - from->zero) / from->div;
}

static unsigned store(const pqc_pixels *to, int pixel, int channel, float y)
{
    char *at = (char *)to->at + pixel * to->pixel;
    if (to->content == PQC_FLOATS) {
        ((float *)(void *)at)[channel] = y;
        return 0;
    }
    float scaled = y * to->mul;
    if (isnan(scaled))
        return PQC_U8_NAN;
    int32_t code = (int32_t)clamp(rintf(scaled), to->lo, to->hi) + to->zero;
    if (to->content == PQC_U8_CODES)
        ((uint8_t *)at)[channel] = (uint8_t)code;
    else
        ((int16_t *)(void *)at)[channel] = (int16_t)code;
    return to->refuses_negative && y < 0 ? PQC_U8_NEGATIVE : 0;
}

unsigned pqc_finish_nhwc_scalar(const int32_t *acc, ptrdiff_t ld, int pixels, int channels,
                                const pqc_finish_params *f)
{
    unsigned flags = 0;
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++) {
            float y = fmaf((float)acc[p * ld + c], f->scale[c], f->bias[c]);
            y = clamp(y, f->low, f->high);
            if (f->hard_swish)
                y = y * clamp(y + 3, 0, 6) / 6;
            if (f->residual.content != PQC_NOTHING)
                y += value_at(&f->residual, p, c);
            y = clamp(y, f->second_low, f->second_high);
            for (int i = 0; i < f->outputs; i++)
                flags |= store(&f->output[i], p, c, y);
        }
    return flags;
}

/* Whether the codes' own bounds do what a last clamp does. */
static bool is_within_codes(const pqc_finish_params *f, float low, float high)
{
    bool within = true;
    for (int i = 0; i < f->outputs; i++) {
        const pqc_pixels *to = &f->output[i];
        within &= to->content != PQC_FLOATS && to->mul > 0 && low * to->mul <= to->lo &&
                  high * to->mul >= to->hi;
    }
    return within;
}

static bool is_never_nan(const pqc_finish_params *f, float largest)
{
    bool finite = largest < 0x1p100f && f->residual.content != PQC_FLOATS;
    if (f->residual.content != PQC_NOTHING)
        largest += 0x1p17f / f->residual.div; /* a difference of codes */
    for (int i = 0; i < f->outputs; i++)
        finite &= f->output[i].content == PQC_FLOATS || largest * f->output[i].mul < INFINITY;
    return finite;
}

unsigned pqc_finish_known(const pqc_finish_params *f, float largest)
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
