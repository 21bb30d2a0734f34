#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHANNELS = 64, MAX_OUT = 9, UNEQUAL = 5, MAX_KERNEL = 9, SPARE = 7 };

typedef struct {
    buffer x, w, compensation, scale, bias, codes;
    int32_t acc[MAX_OUT * MAX_OUT * (MAX_CHANNELS + SPARE)];
} arena;

/* `down` is the stride from row to row. */
typedef struct {
    int kh, kw, down, stride, dilation, rows, columns, channels;
} geometry;

/* Extremes half of the time: 255 * -128 in every tap. */
static pqc_dwconv_nhwc_params fill(arena *a, const geometry *s)
{
    bool extreme = random_bits() % 2 != 0;
    ptrdiff_t pixel = s->channels + random_byte(false, 0, 8),
              row = pixel * (MAX_OUT * 2 + 20) + random_byte(false, 0, 8);
    ptrdiff_t groups = s->kw * pqc_div_round_up(s->kh, 4);
    ptrdiff_t last = pqc_max(s->columns - 1, 0) * s->stride + (s->kw - 1) * s->dilation;
    size_t bytes = (size_t)(((s->rows - 1) * s->down + (s->kh - 1) * s->dilation) * row +
                            last * pixel + s->channels);
    pqc_dwconv_nhwc_params g = {.tap_row = s->dilation * row,
                                .tap_pixel = s->dilation * pixel,
                                .step_row = s->down * row,
                                .step_pixel = s->stride * pixel,
                                .kh = s->kh,
                                .kw = s->kw,
                                .rows = s->rows,
                                .columns = s->columns,
                                .channels = s->channels,
                                .ld = s->channels + SPARE,
                                .w_pitch = 4 * s->channels + random_byte(false, 0, 8)};
    uint8_t *x = buffer_place(&a->x, bytes, 0);
    for (size_t i = 0; i < bytes; i++)
        x[i] = (uint8_t)random_byte(extreme, 0, 255);
    size_t size = (size_t)((groups - 1) * g.w_pitch + 4 * s->channels);
    int8_t *w = buffer_place(&a->w, size, 0);
    for (size_t i = 0; i < size; i++)
        w[i] = (int8_t)random_byte(extreme, -128, 127);
    for (int b = 0; b < s->kw; b++)
        for (int j = s->kh; j < 4 * (int)pqc_div_round_up(s->kh, 4); j++)
            for (int c = 0; c < s->channels; c++)
                w[(b * pqc_div_round_up(s->kh, 4) + j / 4) * g.w_pitch + 4 * c + j % 4] = 0;
    int32_t *compensation = buffer_place(&a->compensation, 4 * (size_t)s->channels, 0);
    for (int c = 0; c < s->channels; c++)
        compensation[c] = (int32_t)random_bits() >> 8;
    g.x = x;
    g.w = w;
    g.compensation = compensation;
    return g;
}

static int64_t expect(const pqc_dwconv_nhwc_params *g, int i, int j, int c)
{
    int64_t sum = g->compensation[c];
    for (int a = 0; a < g->kh; a++)
        for (int b = 0; b < g->kw; b++)
            sum += (int64_t)g->x[i * g->step_row + j * g->step_pixel + a * g->tap_row +
                                 b * g->tap_pixel + c] *
                   g->w[(b * pqc_div_round_up(g->kh, 4) + a / 4) * g->w_pitch + 4 * c + a % 4];
    return sum;
}

static void check_case(arena *a, const geometry *s)
{
    pqc_dwconv_nhwc_params g = fill(a, s);
    for (int i = 0; i < MAX_OUT * MAX_OUT * (MAX_CHANNELS + SPARE); i++)
        a->acc[i] = 12345;
    pqc.dwconv_nhwc(&g, a->acc);
    for (int p = 0; p < MAX_OUT * MAX_OUT; p++)
        for (int c = 0; c < g.ld; c++) {
            bool written = c < s->channels && p < s->rows * s->columns;
            int64_t expected = written ? expect(&g, p / s->columns, p % s->columns, c) : 12345;
            CHECK(a->acc[p * g.ld + c] == expected,
                  "%d x %d taps, stride %d, dilation %d, output %d of %d x %d, channel %d of %d",
                  s->kh, s->kw, s->stride, s->dilation, p, s->rows, s->columns, c, s->channels);
        }
}

/* An output stage of bytes, any that the kernel takes. */
static pqc_output stage_of(arena *a, int channels)
{
    pqc_output f = {.low = -INFINITY,
                    .high = INFINITY,
                    .second_low = -INFINITY,
                    .second_high = INFINITY,
                    .outputs = 1};
    float *scale = buffer_place(&a->scale, 4 * (size_t)channels, 0);
    float *bias = buffer_place(&a->bias, 4 * (size_t)channels, 0);
    for (int c = 0; c < channels; c++) {
        scale[c] = (float)(1 + random_bits() % 1000) * 0x1p-24f;
        bias[c] = (float)(int32_t)random_bits() * 0x1p-29f;
    }
    f.scale = scale;
    f.bias = bias;
    pqc_pixels *to = &f.output[0];
    *to = (pqc_pixels){.content = PQC_U8_CODES, .mul = (float)(1 + random_bits() % 64), .hi = 255};
    to->div = to->mul;
    if (random_bits() % 2) {
        to->zero = (int32_t)(random_bits() % 256);
        to->lo = (float)(-to->zero + (int32_t)(random_bits() % 3));
        to->hi = (float)(255 - to->zero - (int32_t)(random_bits() % 3));
    }
    if (random_bits() % 2) {
        f.hard_swish = true;
        f.affine = (pqc_linear_map){random_bits() % 2, (float)(int32_t)random_bits() * 0x1p-30f,
                                    (float)(int32_t)random_bits() * 0x1p-31f};
    }
    f.known = pqc_finish_known(&f, 0x1p14f);
    return f;
}

/* The same sums as bytes; the expected ones come from the output stage alone, which has its own test. */
static void check_codes(arena *a, const geometry *s)
{
    static uint8_t wanted[MAX_CHANNELS];
    static int32_t sums[MAX_CHANNELS];
    pqc_dwconv_nhwc_params g = fill(a, s);
    if (!pqc_dwconv_makes_codes(&g))
        return;
    int channels = s->channels - random_byte(false, 0, 15);
    pqc_output f = stage_of(a, channels);
    CHECK(f.known & (f.hard_swish ? PQC_SWISH : PQC_PLAIN), "known: %u", f.known);
    ptrdiff_t pixel = channels + random_byte(false, 0, 8), row = s->columns * pixel + 5;
    size_t size = (size_t)pqc_max(0, (s->rows - 1) * row + (s->columns - 1) * pixel + channels);
    uint8_t *codes = buffer_place(&a->codes, size, 0);
    memset(codes, 123, size);
    f.output[0].at = codes;
    f.output[0].pixel = pixel;
    pqc.dwconv_nhwc_codes(&g, row, channels, &f);
    for (int p = 0; p < s->rows * s->columns; p++) {
        const uint8_t *got = codes + p / s->columns * row + p % s->columns * pixel;
        for (int c = 0; c < channels; c++)
            sums[c] = (int32_t)expect(&g, p / s->columns, p % s->columns, c);
        f.output[0].at = wanted;
        pqc_finish_nhwc_scalar(sums, MAX_CHANNELS, 1, channels, &f);
        CHECK(memcmp(got, wanted, (size_t)channels) == 0,
              "codes of %d x %d taps, stride %d, dilation %d, output %d of %d x %d, %d channels",
              s->kh, s->kw, s->stride, s->dilation, p, s->rows, s->columns, channels);
        ptrdiff_t next = got - codes + channels, gap = pixel - channels;
        for (ptrdiff_t i = next; i < pqc_min(next + gap, (ptrdiff_t)size); i++)
            CHECK(codes[i] == 123, "a byte behind pixel %d", p);
    }
    CHECK(buffer_guards_intact(&a->codes), "something written outside of the codes");
}

void test_dwconv_nhwc(void)
{
    static const int kernels[][2] = {{3, 3}, {5, 5}, {7, 7}, {1, 1}, {4, 3}, {3, 5}, {9, 2}};
    arena *a = calloc(1, sizeof *a);
    buffer_open(&a->x);
    buffer_open(&a->w);
    buffer_open(&a->compensation);
    buffer_open(&a->scale);
    buffer_open(&a->bias);
    buffer_open(&a->codes);
    for (int k = 0; k < 7; k++)
        for (int stride = 1; stride <= 3; stride++)
            for (int dilation = 1; dilation <= 2; dilation++)
                for (int size = 0; size <= 6 * MAX_OUT; size++) {
                    bool shared = k < 3 && stride <= 2 * dilation;
                    geometry s = {
                        kernels[k][0], kernels[k][1], size % UNEQUAL ? stride : stride % 3 + 1,
                        stride,        dilation,      .rows = 1 + size % 4};
                    s.columns = size / 6;
                    s.channels = 16 * (1 + (size + stride) % 4);
                    if (shared || size % 5 == 0)
                        check_case(a, &s);
                    if (pqc.dwconv_nhwc_codes)
                        check_codes(a, &s);
                }
    buffer_close(&a->x);
    buffer_close(&a->w);
    buffer_close(&a->compensation);
    buffer_close(&a->scale);
    buffer_close(&a->bias);
    buffer_close(&a->codes);
    free(a);
}
