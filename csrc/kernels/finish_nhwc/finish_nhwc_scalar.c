/* The whole output stage on int32 sums, channels last, in plain C; see finish_nhwc.h. */
#include "finish_nhwc.h"

#include "codes_f32/codes_f32_scalar.h"

#include <math.h>

enum { CHANNELS = 64 }; /* channels at a time */

/* Adds a residual to some channels of a pixel; stores them. */
static void add(const pqc_pixels *from, int pixel, float *y, int channels)
{
    float other[CHANNELS];
    decode_loops(from, (const char *)from->at + pixel * from->pixel, other, channels);
    for (int c = 0; c < channels; c++)
        y[c] += other[c];
}

/* Values rounded to codes and back. */
static unsigned requantize(const pqc_pixels *between, float *y, int channels)
{
    int16_t codes[CHANNELS];
    unsigned flags = encode_loops(between, y, codes, channels);
    decode_loops(between, codes, y, channels);
    return flags;
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
    if (f->affine.there)
        for (int c = 0; c < channels; c++)
            y[c] = y[c] * f->affine.factor + f->affine.offset;
    if (f->between.content != PQC_NOTHING)
        flags |= requantize(&f->between, y, channels);
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

static bool is_bounded(float low, float high)
{
    return low > -INFINITY || high < INFINITY;
}

/* True if a clamp's bounds can become the bounds of an output's codes. */
static bool is_foldable(const pqc_pixels *to, float low)
{
    return to->content != PQC_FLOATS && to->mul > 0 && to->lo <= to->hi &&
           (low >= 0 || !to->refuses_negative);
}

/* rint(clamp(y) * mul) is clamp(rint(y * mul)), as rounding keeps the order. */
static void fold_into(pqc_pixels *to, float low, float high)
{
    float least = rintf(low * to->mul), most = rintf(high * to->mul), lo = to->lo, hi = to->hi;
    to->lo = pqc_at_most(pqc_at_least(least, lo), hi);
    to->hi = pqc_at_most(pqc_at_least(most, lo), hi);
    to->refuses_negative = false;
}

/* True if nothing comes between the two clamps. */
static bool is_alone(const pqc_output *f)
{
    return f->residual.content == PQC_NOTHING && f->between.content == PQC_NOTHING &&
           !f->hard_swish && !f->affine.there;
}

void pqc_finish_fold(pqc_output *f)
{
    bool alone = is_alone(f) && !is_bounded(f->second_low, f->second_high);
    float *low = alone ? &f->low : &f->second_low, *high = alone ? &f->high : &f->second_high;
    bool foldable = is_bounded(*low, *high) && *low <= *high;
    for (int i = 0; i < f->outputs; i++)
        foldable &= is_foldable(&f->output[i], *low);
    if (!foldable)
        return;
    for (int i = 0; i < f->outputs; i++)
        fold_into(&f->output[i], *low, *high);
    *low = -INFINITY;
    *high = INFINITY;
}

/* A bound of |y|; infinity if there is none. */
static float bound_of(const pqc_output *f, float largest)
{
    bool there = f->between.content != PQC_NOTHING;
    if (f->affine.there) /* a little more, because of rounding */
        largest = 1.01f * (largest * fabsf(f->affine.factor) + fabsf(f->affine.offset));
    if (!(largest < 0x1p100f) || f->residual.content == PQC_FLOATS ||
        (there && !(largest * f->between.mul < 0x1p30f)))
        return INFINITY;
    if (there)
        largest = 0x1p17f / f->between.div;
    return f->residual.content == PQC_NOTHING ? largest
                                              : largest + 0x1p17f / f->residual.div; /* codes */
}

/* True if all outputs are codes, at most one of each type, that vectors of 32 bits can compute.  Plain bodies divide
 * by 6 in HardSwish without care for the smallest numbers, and a large factor could make the difference visible. */
static bool are_plain(const pqc_output *f, float bound)
{
    bool plain = (f->between.content == PQC_NOTHING || f->residual.content != PQC_NOTHING) &&
                 !(f->affine.there && fabsf(f->affine.factor) > 0x1p30f),
         there[PQC_S16_CODES + 1] = {[PQC_FLOATS] = true};
    for (int i = 0; i < f->outputs; i++) {
        const pqc_pixels *to = &f->output[i];
        plain &= !there[to->content] && bound * to->mul < 0x1p30f && to->mul < 0x1p60f &&
                 to->lo >= INT16_MIN && to->hi <= INT16_MAX;
        there[to->content] = true;
    }
    return plain;
}

/* True if HardSwish ends in bytes and its factors are of ordinary size. */
static bool is_swish(const pqc_output *f)
{
    float factor = f->affine.there ? f->affine.factor : 1,
          offset = f->affine.there ? f->affine.offset : 0;
    const pqc_pixels *to = &f->output[0];
    return f->hard_swish && f->residual.content == PQC_NOTHING && f->outputs == 1 &&
           to->content == PQC_U8_CODES && fabsf(factor * to->mul) > 0x1p-60f &&
           fabsf(factor * to->mul) < 0x1p20f && fabsf(offset * to->mul) < 0x1p12f;
}

unsigned pqc_finish_known(const pqc_output *f, float largest)
{
    enum { ALL = PQC_NO_FIRST_CLAMP | PQC_NO_SECOND_CLAMP | PQC_NEVER_NAN };
    bool finite = true, small = true, refuses = f->between.refuses_negative;
    float bound = bound_of(f, largest);
    for (int i = 0; i < f->outputs; i++) {
        finite &= f->output[i].content == PQC_FLOATS || bound * f->output[i].mul < INFINITY;
        small &= f->output[i].content == PQC_FLOATS ||
                 (bound * f->output[i].mul < 0x1p22f && f->output[i].mul > 0x1p-60f);
        refuses |= f->output[i].refuses_negative;
    }
    unsigned known = bound < INFINITY && finite ? PQC_NEVER_NAN : 0;
    if (small)
        known |= PQC_SMALL_CODES;
    bool ends_above_0 = f->second_low >= 0 && f->second_high >= 0;
    bool stays_above_0 = is_alone(f) && f->low >= 0 && f->high >= 0 && f->second_high >= 0;
    if (!refuses || (!f->between.refuses_negative && ends_above_0) || stays_above_0)
        known |= PQC_NEVER_NEGATIVE;
    if (!is_bounded(f->low, f->high))
        known |= PQC_NO_FIRST_CLAMP;
    if (!is_bounded(f->second_low, f->second_high))
        known |= PQC_NO_SECOND_CLAMP;
    if ((known & ALL) == ALL && (known & PQC_NEVER_NEGATIVE) && are_plain(f, bound))
        known |= is_swish(f) ? PQC_PLAIN | PQC_SWISH : PQC_PLAIN;
    return known;
}
