#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <string.h>

enum { MAX_SIDE = 80, STEP = 20, CHANNEL = PQC_DWCONV_MAX_KERNEL * 2 * STEP, CHANNELS = 100 };

typedef struct {
    buffer x, y;
    int8_t taps[CHANNELS * CHANNEL];
    float scale[CHANNELS], bias[CHANNELS];
} arena;

/* Everything below looks at the first channel of p only, where nothing else is said. */

static int weight(const pqc_dwconv_params *p, int y, int x)
{
    return p->taps[(y * ((p->kernel + 3) / 4) + x / 4) * p->taps_step + x % 4];
}

static double quantized(const pqc_dwconv_params *p, ptrdiff_t row, ptrdiff_t column)
{
    if (row < 0 || row >= p->height || column < 0 || column >= p->width)
        return 0.0;
    float v = rintf(p->x[row * p->width + column] * p->q.mul);
    return (double)fminf(fmaxf(v, p->q.lo), p->q.hi);
}

static float expect(const pqc_dwconv_params *p, ptrdiff_t i, ptrdiff_t j)
{
    double sum = 0.0;
    for (int a = 0; a < p->kernel; a++)
        for (int b = 0; b < p->kernel; b++)
            sum += quantized(p, i * p->stride + a - p->top, j * p->stride + b - p->left) *
                   weight(p, a, b);
    return fmaf((float)sum, *p->to.scale, *p->to.bias);
}

/* Floats of all channels. */
static ptrdiff_t inputs_of(const pqc_dwconv_params *p)
{
    return p->channels * p->height * p->width;
}

static float *place_x(arena *a, const pqc_dwconv_params *p)
{
    return buffer_place(&a->x, (size_t)inputs_of(p) * sizeof(float), 0);
}

static float *place_y(arena *a, const pqc_dwconv_params *p)
{
    ptrdiff_t n = p->channels * p->out_height * p->out_width;
    return buffer_place(&a->y, (size_t)n * sizeof(float), 36);
}

/* What the values of a plane are. */
enum { PLAIN, LARGEST, ODD, KINDS };

static const struct {
    float mul, lo, hi;
    int32_t zero;
} formats[] = {{127.0f, -128.0f, 127.0f, 128}, {255.0f, 0.0f, 255.0f, 0},
               {127.0f, -127.0f, 127.0f, 128}, {7.0f, -8.0f, 7.0f, 128},
               {15.0f, 0.0f, 15.0f, 0},        {0x1p100f, -128.0f, 127.0f, 128}};
enum { FORMATS = sizeof formats / sizeof *formats };

/* Out of every integer's range, ties, and a zero with a sign. */
static float odd(float mul)
{
    const float values[] = {INFINITY,       3e38f,        3e9f / mul,   0x1p31f / mul,
                            40000.0f / mul, 300.0f / mul, 200.5f / mul, 2.5f / mul,
                            0.5f / mul,     0x1p-149f,    0.0f};
    return values[random_bits() % (sizeof values / sizeof *values)];
}

/* The weights, among bytes that are not theirs. */
static void fill_taps(pqc_dwconv_params *p, int8_t *taps, bool largest)
{
    int along = (p->kernel + 3) / 4;
    p->taps = taps;
    p->taps_step = STEP;
    p->taps_channel = CHANNEL;
    for (ptrdiff_t c = 0; c < p->channels; c++, taps += CHANNEL) {
        for (int i = 0; i < CHANNEL; i++)
            taps[i] = 77;
        for (int y = 0; y < p->kernel; y++)
            for (int x = 0; x < 4 * along; x++) {
                int w =
                    largest ? (random_bits() % 2 ? -128 : 127) : (int)(random_bits() % 256) - 128;
                taps[(y * along + x / 4) * STEP + x % 4] = (int8_t)(x < p->kernel ? w : 0);
            }
    }
}

static void fill(arena *a, pqc_dwconv_params *p, float *x, int kind)
{
    int format = (int)(random_bits() % FORMATS);
    p->q = (pqc_u8_quant){formats[format].mul, formats[format].lo, formats[format].hi,
                          formats[format].zero, false};
    for (ptrdiff_t i = 0; i < inputs_of(p); i++) {
        float v = kind == ODD       ? odd(p->q.mul)
                  : kind == LARGEST ? 2.0f
                                    : (float)(random_bits() >> 8) * 0x1p-24f;
        x[i] = p->q.zero == 0 ? (v == 0.0f && kind == ODD ? -v : v) : random_bits() % 2 ? v : -v;
    }
    fill_taps(p, a->taps, kind == LARGEST);
    for (ptrdiff_t c = 0; c < p->channels; c++) {
        a->scale[c] = 1.0f + (float)(random_bits() >> 9) * 0x1p-23f;
        a->bias[c] = (float)(int32_t)random_bits() * 0x1p-20f;
    }
    p->to.scale = a->scale;
    p->to.bias = a->bias;
    p->to.pixel_stride = 1;
    p->x = x;
}

/* The outputs of all channels, which are filled already. */
static void check_outputs(arena *a, pqc_dwconv_params p)
{
    p.to.y = place_y(a, &p);
    p.to.channel_stride = p.out_height * p.out_width;
    unsigned flags = pqc.dwconv_u8s8(&p);
    CHECK(flags == 0, "flags %u", flags);
    for (ptrdiff_t c = 0; c < p.channels; c++, pqc_dwconv_move(&p, 1))
        for (ptrdiff_t i = 0; i < p.out_height; i++)
            for (ptrdiff_t j = 0; j < p.out_width; j++)
                CHECK(same_f32(p.to.y[i * p.out_width + j], expect(&p, i, j)),
                      "kernel %d, stride %d, %td x %td, padding %td, %td: %a at %td, %td, %td",
                      p.kernel, p.stride, p.height, p.width, p.top, p.left,
                      (double)p.to.y[i * p.out_width + j], c, i, j);
    CHECK(buffer_guards_intact(&a->y), "written outside of y");
}

static void check_plane(arena *a, pqc_dwconv_params p, int kind)
{
    float *x = place_x(a, &p);
    fill(a, &p, x, kind);
    check_outputs(a, p);
    p.q.bounded = true;
    if (kind == PLAIN && p.q.mul <= 255.0f)
        check_outputs(a, p);
}

/* A single value far out of range, of every kind, is clamped at every place. */
static void check_far(arena *a, pqc_dwconv_params p)
{
    static const float far[] = {1.5f, 200.0f, 300.0f, 0x1p25f, 0x1p100f, INFINITY};
    float *x = place_x(a, &p);
    fill(a, &p, x, PLAIN);
    for (ptrdiff_t at = 0; at < inputs_of(&p); at++) {
        float before = x[at];
        for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
            x[at] = p.q.zero != 0 && random_bits() % 2 ? -far[i] : far[i];
            check_outputs(a, p);
        }
        x[at] = before;
    }
}

/* Rows and columns that no output sees may hold anything. */
static void check_unused(arena *a, pqc_dwconv_params p)
{
    float *x = place_x(a, &p);
    fill(a, &p, x, PLAIN);
    for (ptrdiff_t at = 0; at < inputs_of(&p); at++)
        if (at / p.width % p.height + p.top >= (p.out_height - 1) * p.stride + p.kernel ||
            at % p.width + p.left >= pqc_dwconv_padded_width(&p))
            x[at] = at % 2 ? NAN : -INFINITY;
    check_outputs(a, p);
}

/* A NaN, and for an unsigned format a negative value, is told of from every place that is used. */
static void check_flags(arena *a, pqc_dwconv_params p)
{
    float *x = place_x(a, &p);
    p.to.y = place_y(a, &p);
    p.to.channel_stride = p.out_height * p.out_width;
    for (ptrdiff_t at = 0; at < inputs_of(&p); at++) {
        fill(a, &p, x, PLAIN);
        x[at] = NAN;
        CHECK(pqc.dwconv_u8s8(&p) & PQC_U8_NAN, "a NaN at %td of %td x %td", at, p.height, p.width);
        x[at] = -0.5f;
        unsigned want = p.q.zero == 0 ? PQC_U8_NEGATIVE : 0;
        CHECK(pqc.dwconv_u8s8(&p) == want, "a negative value at %td", at);
    }
}

static pqc_dwconv_params plane_of(int kernel, int stride, ptrdiff_t height, ptrdiff_t width,
                                  ptrdiff_t padding)
{
    pqc_dwconv_params p = {.channels = 1,
                           .height = height,
                           .width = width,
                           .kernel = kernel,
                           .stride = stride,
                           .top = padding,
                           .left = padding};
    p.out_height = (height + 2 * padding - kernel) / stride + 1;
    p.out_width = (width + 2 * padding - kernel) / stride + 1;
    return p;
}

/* Of small ones some are made together. */
static void check_channels(arena *a, ptrdiff_t channels, pqc_dwconv_params p)
{
    p.channels = channels;
    for (int kind = 0; kind < KINDS; kind++)
        check_plane(a, p, kind);
    p.prefetch = true;
    check_plane(a, p, PLAIN);
    check_unused(a, p);
    if (inputs_of(&p) < 3000)
        check_flags(a, p);
}

/* With so much padding above and below that some rows see nothing else. */
static pqc_dwconv_params tall(pqc_dwconv_params p, ptrdiff_t padding)
{
    p.top = padding;
    p.out_height = (p.height + 2 * padding - p.kernel) / p.stride + 1;
    return p;
}

void test_dwconv_u8s8(void)
{
    static const ptrdiff_t sides[] = {1, 2, 3, 5, 7, 8, 9, 14, 15, 16, 17, 33, 57, MAX_SIDE};
    enum { SIDES = sizeof sides / sizeof *sides };
    arena a;
    if (pqc.dwconv_u8s8 == NULL)
        return;
    buffer_open(&a.x);
    buffer_open(&a.y);
    for (int kernel = 3; kernel <= PQC_DWCONV_MAX_KERNEL; kernel += 2)
        for (int stride = 1; stride <= 2; stride++)
            for (int h = 0; h < SIDES; h++)
                for (int w = 0; w < SIDES; w++)
                    for (ptrdiff_t padding = 0; padding <= kernel; padding += kernel / 2)
                        if (pqc_min(sides[h], sides[w]) + 2 * padding >= kernel)
                            check_plane(&a, plane_of(kernel, stride, sides[h], sides[w], padding),
                                        (h + w) % KINDS);
    for (int kernel = 3; kernel <= PQC_DWCONV_MAX_KERNEL; kernel += 2)
        for (int stride = 1; stride <= 2; stride++)
            for (ptrdiff_t width = 1; width <= 70; width++)
                check_plane(&a, plane_of(kernel, stride, 6 + width % 9, width, kernel / 2),
                            (int)width % KINDS);
    check_plane(&a, plane_of(3, 1, 3, PQC_DWCONV_MAX_WIDTH, 0), PLAIN);
    check_plane(&a, plane_of(7, 2, 9, PQC_DWCONV_MAX_WIDTH - 1, 0), ODD);
    check_flags(&a, plane_of(3, 1, 6, 11, 1));
    check_flags(&a, plane_of(5, 1, 9, 5, 2));
    check_flags(&a, plane_of(3, 2, 7, 11, 1));
    check_flags(&a, plane_of(5, 2, 9, 37, 2));
    check_flags(&a, plane_of(3, 1, 8, 30, 1));
    check_flags(&a, plane_of(7, 1, 5, 70, 3));
    check_flags(&a, plane_of(3, 1, 30, 20, 1)); /* in several runs of rows */
    check_flags(&a, plane_of(3, 2, 43, 35, 0));
    check_far(&a, plane_of(3, 1, 40, 18, 1));
    for (int kernel = 3; kernel <= PQC_DWCONV_MAX_KERNEL; kernel += 2)
        for (int stride = 1; stride <= 2; stride++)
            for (int i = 0; i < 4; i++) { /* several formats */
                check_far(&a, plane_of(kernel, stride, 7, 21, kernel / 2));
                pqc_dwconv_params p = plane_of(kernel, stride, 12, 28, 1);
                p.out_height -= i;
                p.out_width -= 3 * i;
                check_unused(&a, p);
                check_unused(&a, plane_of(kernel, 2, 20, 78 + i, 0));
            }
    check_channels(&a, 3, plane_of(3, 1, 5, 9, 1));
    check_channels(&a, 2, plane_of(5, 2, 9, 30, 2));
    check_channels(&a, 7, plane_of(3, 2, 9, 11, 1));
    check_channels(&a, CHANNELS, plane_of(3, 1, 14, 14, 1));
    check_channels(&a, CHANNELS, plane_of(3, 1, 1, 1, 1));
    check_channels(&a, CHANNELS, plane_of(7, 1, 7, 16, 3));
    for (ptrdiff_t padding = 1; padding <= 90; padding += padding == 1 ? 12 : 11) {
        check_channels(&a, 1, tall(plane_of(3, 1, 10, 580, 1), padding));
        check_channels(&a, 1, tall(plane_of(5, 2, 33, 300, 2), padding));
    }
    for (ptrdiff_t width = 125; width <= 131; width++) /* around what is made at a time */
        check_channels(&a, 2, plane_of(3, 1, 126, width, 1));
    check_channels(&a, 3, plane_of(3, 1, 150, 120, 1));
    check_channels(&a, 2, plane_of(3, 2, 190, 111, 1));
    check_plane(&a, plane_of(3, 1, 150, 4, 1), PLAIN); /* in several blocks */
    check_plane(&a, plane_of(3, 1, 150, 60, 1), PLAIN);
    check_plane(&a, plane_of(5, 2, 151, 90, 2), LARGEST);
    check_plane(&a, plane_of(3, 2, 150, 120, 1), ODD);
    check_plane(&a, plane_of(3, 1, 190, 110, 1), ODD);
    for (int stride = 1; stride <= 2; stride++)
        for (ptrdiff_t top = 0; top <= 9; top += 3)
            for (ptrdiff_t left = 0; left <= 40; left += 5) { /* more than there are columns, too */
                pqc_dwconv_params p = plane_of(5, stride, 11, 13, 3);
                p.top = top;
                p.left = left;
                check_plane(&a, p, PLAIN);
            }
    buffer_close(&a.x);
    buffer_close(&a.y);
}
