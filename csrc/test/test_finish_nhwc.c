#include "check.h"
#include "dispatch.h"
#include "expect.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_CHANNELS = 70, MAX_PIXELS = 5, LD = 80, CONTENTS = 4 };

typedef struct {
    buffer residual, output[PQC_MAX_OUTPUTS];
    int32_t acc[MAX_PIXELS * LD];
    float scale[MAX_CHANNELS + 16], bias[MAX_CHANNELS + 16];
} arena;

static pqc_pixels codes_of(pqc_content content, unsigned seed)
{
    float div = 1.0f + (float)(seed * 37 % 91);
    pqc_pixels p = {.content = content, .mul = div, .div = div, .lo = -32767, .hi = 32767};
    if (content == PQC_U8_CODES) {
        p.zero = (int32_t)(seed * 53 % 256);
        p.lo = (float)-p.zero;
        p.hi = (float)(255 - p.zero);
    }
    return p;
}

static void place(buffer *b, pqc_pixels *p, int pixels, int channels, ptrdiff_t gap)
{
    ptrdiff_t size = pqc_content_size(p->content);
    p->pixel = (channels + 3) * size;
    p->at = buffer_place(b, (size_t)((pixels - 1) * p->pixel + channels * size), (size_t)gap);
}

static float value_of(const pqc_pixels *p, int pixel, int channel)
{
    const char *at = (const char *)p->at + pixel * p->pixel;
    if (p->content == PQC_FLOATS)
        return ((const float *)(const void *)at)[channel];
    double code = p->content == PQC_U8_CODES ? (double)((const uint8_t *)at)[channel]
                                             : (double)((const int16_t *)(const void *)at)[channel];
    return (float)((code - p->zero) / (double)p->div);
}

static float clamped(float y, float low, float high)
{
    float raised = y < low ? low : y; /* NaN stays NaN */
    return raised > high ? high : raised;
}

static float requantized(const pqc_pixels *between, float y, unsigned *flags)
{
    double code = (double)expect_quantized(y, between->mul, between->lo, between->hi);
    *flags |= between->refuses_negative && y < 0 ? PQC_U8_NEGATIVE : 0;
    if (y != y) { /* flagged, and the least code from here on */
        *flags |= PQC_U8_NAN;
        code = (double)between->lo;
    }
    return (float)(code / (double)between->div) + 0.0f;
}

static float expect(const arena *a, const pqc_output *f, float residual, int pixel, int c,
                    unsigned *flags)
{
    float y = fmaf((float)a->acc[pixel * LD + c], a->scale[c], a->bias[c]);
    y = clamped(y, f->low, f->high);
    if (f->hard_swish) { /* each operation is rounded once */
        float shifted = clamped((float)((double)y + 3), 0, 6);
        y = (float)((double)(float)((double)y * (double)shifted) / 6);
    }
    if (f->affine.there) {
        y = (float)((double)y * (double)f->affine.factor);
        y = (float)((double)y + (double)f->affine.offset);
    }
    if (f->between.content != PQC_NOTHING)
        y = requantized(&f->between, y, flags);
    if (f->residual.content != PQC_NOTHING)
        y = (float)((double)y + (double)residual);
    return clamped(y, f->second_low, f->second_high);
}

static unsigned check_output(const pqc_pixels *p, float y, int pixel, int c)
{
    const char *at = (const char *)p->at + pixel * p->pixel;
    if (p->content == PQC_FLOATS) {
        float got = ((const float *)(const void *)at)[c];
        CHECK(same_f32(got, y), "pixel %d, channel %d: %a, not %a", pixel, c, (double)got,
              (double)y);
        return 0;
    }
    unsigned flags = p->refuses_negative && y < 0 ? PQC_U8_NEGATIVE : 0;
    if (y != y)
        return flags | PQC_U8_NAN;
    double code = (double)expect_quantized(y, p->mul, p->lo, p->hi) + p->zero;
    double got = p->content == PQC_U8_CODES ? (double)((const uint8_t *)at)[c]
                                            : (double)((const int16_t *)(const void *)at)[c];
    CHECK(got == code, "pixel %d, channel %d: code %g, not %g", pixel, c, got, code);
    return flags;
}

static void fill(arena *a, unsigned seed)
{
    for (int i = 0; i < MAX_PIXELS * LD; i++)
        a->acc[i] = (int32_t)random_bits() >> (random_bits() % 24);
    for (int c = 0; c < MAX_CHANNELS; c++) {
        a->scale[c] = (float)(random_bits() >> 8) * 0x1p-44f;
        a->bias[c] = (float)(int32_t)random_bits() * 0x1p-28f;
        if (seed % 5 == 4 && random_bits() % 50 == 0)
            a->bias[c] = c % 2 ? NAN : -INFINITY;
    }
}

static void fill_residual(pqc_pixels *p, int pixels, int channels)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            char *at = (char *)p->at + i * p->pixel;
            if (p->content == PQC_FLOATS)
                ((float *)(void *)at)[c] = (float)(int32_t)random_bits() * 0x1p-30f;
            else if (p->content == PQC_U8_CODES)
                ((uint8_t *)at)[c] = (uint8_t)random_bits();
            else
                ((int16_t *)(void *)at)[c] = (int16_t)random_bits();
        }
}

static pqc_output unclamped(const arena *a, int outputs)
{
    return (pqc_output){.scale = a->scale,
                        .bias = a->bias,
                        .low = -INFINITY,
                        .high = INFINITY,
                        .second_low = -INFINITY,
                        .second_high = INFINITY,
                        .outputs = outputs};
}

static void check_case(arena *a, int pixels, int channels, int residual, int outputs, unsigned seed)
{
    float values[MAX_PIXELS][MAX_CHANNELS] = {{0}};
    unsigned flags = 0;
    pqc_output f = unclamped(a, outputs);
    fill(a, seed);
    if (seed % 2)
        f.low = 0;
    if (seed % 3 == 1)
        f.high = 6;
    f.hard_swish = seed % 11 < 3;
    if (seed % 6 == 1)
        f.affine = (pqc_linear_map){true, (float)(int32_t)random_bits() * 0x1p-30f,
                                    (float)(int32_t)random_bits() * 0x1p-30f};
    if (seed % 17 == 3) /* ONNX has such clips */
        f.high = -1;
    if (seed % 4 == 1)
        f.second_low = 0;
    if (seed % 19 == 4)
        f.second_high = -0.5f;
    if (residual) {
        f.residual = codes_of((pqc_content)residual, seed);
        place(&a->residual, &f.residual, pixels, channels, 0);
        fill_residual(&f.residual, pixels, channels);
        for (int p = 0; p < pixels; p++)
            for (int c = 0; c < channels; c++)
                values[p][c] = value_of(&f.residual, p, c);
    }
    if (residual && seed % 8 > 3) {
        f.between = codes_of(seed % 3 ? PQC_U8_CODES : PQC_S16_CODES, seed + 5);
        f.between.refuses_negative = seed % 9 == 0;
    }
    for (int i = 0; i < outputs; i++) {
        f.output[i] =
            codes_of((pqc_content)(1 + (int)(seed + (unsigned)i) % 3), seed + (unsigned)i);
        f.output[i].refuses_negative = seed % 7 == 0;
        place(&a->output[i], &f.output[i], pixels, channels, 0);
    }
    if (residual && f.output[0].content == f.residual.content) /* in place */
        f.output[0].at = f.residual.at;
    pqc_output given = f;
    if (seed % 13 < 6)
        pqc_finish_fold(&f);
    if (seed % 2)
        f.known = pqc_finish_known(&f, seed % 5 == 4 ? INFINITY : 0x1p12f); /* see fill */
    unsigned got = pqc.finish_nhwc(a->acc, LD, pixels, channels, &f);
    for (int i = 0; i < outputs; i++) {
        for (int p = 0; p < pixels; p++)
            for (int c = 0; c < channels; c++)
                flags |= check_output(&given.output[i],
                                      expect(a, &given, values[p][c], p, c, &flags), p, c);
        CHECK(buffer_guards_intact(&a->output[i]), "%d pixels, %d channels", pixels, channels);
    }
    CHECK(got == flags, "flags %u, not %u", got, flags);
}

/* The number whose HardSwish is next to y, which is not below 0. */
static double before_hard_swish(double y)
{
    return y >= 3 ? y : (sqrt(9 + 24 * y) - 3) / 2;
}

/* HardSwish that becomes bytes, of numbers of all sizes, and of those whose results lie close to the middle between two codes. */
static void check_swish(arena *a, unsigned seed)
{
    static const float muls[] = {0.37f, 10.5f, 57.8f, 1, 332, 0x1p11f, 0x1p-9f};
    int channels = 1 + (int)(seed % MAX_CHANNELS), pixels = 1 + (int)(seed % MAX_PIXELS);
    pqc_output f = unclamped(a, 1);
    f.hard_swish = true;
    pqc_pixels *to = &f.output[0];
    *to = codes_of(PQC_U8_CODES, seed);
    to->mul = muls[seed % 7];
    to->lo += (float)(seed % 3);
    to->hi -= (float)(seed % 4);
    if (seed % 3 == 0)
        f.affine =
            (pqc_linear_map){true, (float)(int32_t)random_bits() * 0x1p-30f, (float)(seed % 5) / 4};
    place(&a->output[0], to, pixels, channels, (ptrdiff_t)(seed % 2));
    double factor = f.affine.there ? (double)f.affine.factor : 1;
    for (int i = 0; i < MAX_PIXELS * LD; i++)
        a->acc[i] = (int32_t)random_bits() >> (random_bits() % 24);
    for (int c = 0; c < channels; c++) {
        double code = (int)(seed / 2 + (unsigned)c) % 280 - 0.5;
        double y = (code / (double)to->mul - (double)f.affine.offset) / factor;
        bool near_tie = seed % 2 && y >= 0 && y < 0x1p12;
        a->bias[c] = near_tie ? (float)before_hard_swish(y)
                              : (float)(int32_t)random_bits() * (c % 2 ? 0x1p-29f : 0x1p-26f);
        a->scale[c] = near_tie ? fabsf(a->bias[c]) * 0x1p-52f : 0x1p-30f;
    }
    f.known = pqc_finish_known(&f, 0x1p12f);
    CHECK(f.known & PQC_SWISH, "seed %u: known %u", seed, f.known);
    pqc.finish_nhwc(a->acc, LD, pixels, channels, &f);
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++) {
            unsigned flags = 0;
            check_output(to, expect(a, &f, 0, p, c, &flags), p, c);
        }
    CHECK(buffer_guards_intact(&a->output[0]), "%d pixels, %d channels", pixels, channels);
}

void test_finish_nhwc(void)
{
    arena *a = calloc(1, sizeof *a);
    buffer_open(&a->residual);
    for (int i = 0; i < PQC_MAX_OUTPUTS; i++)
        buffer_open(&a->output[i]);
    unsigned seed = 0;
    for (int channels = 1; channels <= MAX_CHANNELS; channels++)
        for (int residual = 0; residual < CONTENTS; residual++)
            for (int outputs = 1; outputs <= PQC_MAX_OUTPUTS; outputs++)
                for (int more = 0; more < 3; more++, seed++)
                    check_case(a, 1 + (int)(seed % MAX_PIXELS), channels, residual, outputs, seed);
    for (seed = 0; seed < 6000; seed++)
        check_swish(a, seed);
    for (int i = 0; i < PQC_MAX_OUTPUTS; i++)
        buffer_close(&a->output[i]);
    buffer_close(&a->residual);
    free(a);
}
