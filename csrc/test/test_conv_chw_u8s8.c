#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_K = 140, MAX_CHANNELS = 64, MAX_ROWS = 9, ROWS = 2, REACH = 600, PAST = 256 };

typedef struct {
    buffer x, y;
    int32_t offset[MAX_K];
    int8_t w[MAX_K * 4 * MAX_CHANNELS];
    int32_t compensation[MAX_CHANNELS], weight_sums[MAX_CHANNELS];
    float scale[MAX_CHANNELS], bias[MAX_CHANNELS];
} arena;

static float expect(const pqc_conv_chw_params *g, ptrdiff_t row, ptrdiff_t p, int c)
{
    int64_t sum = g->compensation[c];
    for (ptrdiff_t j = 0; j < g->k; j++)
        for (int i = 0; i < 4; i++) {
            ptrdiff_t at = g->dilation == 0 ? 4 * p + i : p * g->stride + i * g->dilation;
            sum += (int64_t)g->x[row * g->x_row + g->offset[j] + at] *
                   g->w[j * g->k_stride + 4 * c + i];
        }
    return fmaf((float)sum, g->to.scale[c], g->to.bias[c]);
}

static pqc_conv_chw_params make(arena *a, ptrdiff_t k, int channels, int stride, int dilation)
{
    size_t bytes = (3 * MAX_ROWS + 7) * REACH + PAST;
    uint8_t *x = buffer_place(&a->x, bytes, 0);
    for (size_t i = 0; i < bytes; i++)
        x[i] = (uint8_t)random_bits();
    for (ptrdiff_t i = 0; i < k * 4 * MAX_CHANNELS; i++) {
        uint32_t bits = random_bits();
        a->w[i] = (int8_t)(bits % 4 == 0 ? -128 : (int)(bits >> 8 & 255) - 128);
    }
    for (int j = 0; j < MAX_K; j++)
        a->offset[j] = (int32_t)(random_bits() % 60) * 4;
    for (int c = 0; c < MAX_CHANNELS; c++) {
        int32_t weights = 0;
        for (ptrdiff_t j = 0; j < k; j++)
            for (int i = 0; i < 4; i++)
                weights += a->w[j * 4 * MAX_CHANNELS + 4 * c + i];
        a->weight_sums[c] = 128 * weights;
        a->compensation[c] = -128 * weights + (int32_t)(random_bits() % 100);
        a->scale[c] = 1.0f + (float)(random_bits() >> 9) * 0x1p-23f;
        a->bias[c] = (float)(int32_t)random_bits() * 0x1p-20f;
    }
    return (pqc_conv_chw_params){.x = x,
                                 .offset = a->offset,
                                 .k = k,
                                 .w = a->w,
                                 .k_stride = 4 * MAX_CHANNELS,
                                 .compensation = a->compensation,
                                 .weight_sums = a->weight_sums,
                                 .to = {.scale = a->scale, .bias = a->bias, .pixel_stride = 1},
                                 .channels = channels,
                                 .stride = stride,
                                 .dilation = dilation,
                                 .rows = ROWS,
                                 .x_row = REACH};
}

static void check_block(arena *a, pqc_conv_chw_params g, ptrdiff_t pixels)
{
    g.y_row = pixels + 3;
    ptrdiff_t pitch = g.rows * g.y_row + 5;
    size_t floats = (size_t)((g.channels - 1) * pitch + (g.rows - 1) * g.y_row + pixels);
    float *y = buffer_place(&a->y, pixels == 0 ? 0 : floats * sizeof *y, 36);
    g.to.y = y;
    g.to.channel_stride = pitch;
    pqc.conv_chw_u8s8(&g, pixels);
    for (int c = 0; c < g.channels; c++)
        for (ptrdiff_t row = 0; row < g.rows && pixels > 0; row++) {
            const float *line = y + c * pitch + row * g.y_row;
            for (ptrdiff_t p = 0; p < pixels; p++)
                CHECK(same_f32(line[p], expect(&g, row, p, c)),
                      "pixel %td of %td, channel %d of %d, k %td, stride %d, dilation %d: %a", p,
                      pixels, c, g.channels, g.k, g.stride, g.dilation, (double)line[p]);
            bool last = c + 1 == g.channels && row + 1 == g.rows;
            for (ptrdiff_t p = pixels; p < pixels + 3 && !last; p++)
                CHECK(bits_f32(line[p]) == 0xa5a5a5a5, "written past pixel %td", pixels);
        }
    CHECK(buffer_guards_intact(&a->y), "%td pixels, %d channels", pixels, g.channels);
}

/* Rows of taps at even distances, as in a depthwise layer, which bodies take several rows at a time. */
static void check_grid(arena *a, int kernel_rows, int row_stride, int stride, int dilation)
{
    int steps = kernel_rows == 3 ? 1 : 2;
    for (int rows = 1; rows <= MAX_ROWS; rows++)
        for (ptrdiff_t pixels = 0; pixels <= 40; pixels += pixels < 10 ? 1 : 6) {
            pqc_conv_chw_params g = make(a, kernel_rows * steps, 1, stride, dilation);
            for (int j = 0; j < g.k; j++)
                a->offset[j] = j / steps * REACH + j % steps * 4 * dilation;
            g.x_row = row_stride * REACH;
            g.rows = rows;
            check_block(a, g, pixels);
        }
}

/* Results that begin on cache lines, and go around the caches where a whole vector of them does. */
static void check_streamed(arena *a, ptrdiff_t pixels)
{
    enum { CHANNELS = 5, ROW = 80 };
    pqc_conv_chw_params g = make(a, 9, CHANNELS, 1, 0);
    g.y_row = ROW;
    g.to.channel_stride = g.rows * g.y_row;
    g.to.stream = true;
    g.to.y = buffer_place(&a->y, (size_t)(CHANNELS * g.to.channel_stride) * sizeof(float), 64);
    pqc.conv_chw_u8s8(&g, pixels);
    for (int c = 0; c < CHANNELS; c++)
        for (ptrdiff_t row = 0; row < g.rows; row++)
            for (ptrdiff_t p = 0; p < ROW; p++) {
                float y = g.to.y[c * g.to.channel_stride + row * ROW + p];
                bool right =
                    p < pixels ? same_f32(y, expect(&g, row, p, c)) : bits_f32(y) == 0xa5a5a5a5;
                CHECK(right, "streamed, pixel %td of %td, channel %d: %a", p, pixels, c, (double)y);
            }
    CHECK(buffer_guards_intact(&a->y), "streamed, %td pixels", pixels);
}

enum { MUCH = 1000 }; /* products of a pixel, beyond which not every number of pixels is tried */

void test_conv_chw_u8s8(void)
{
    static const int forms[][2] = {{1, 0}, {1, 1}, {2, 1}, {4, 1}, {1, 2}, {3, 2}, {1, 4}, {2, 3}};
    static const ptrdiff_t depths[] = {0, 3, 6, 9, MAX_K};
    static const int widths[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 19, MAX_CHANNELS};
    arena *a = malloc(sizeof *a);
    buffer_open(&a->x);
    buffer_open(&a->y);
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
            for (size_t c = 0; c < sizeof widths / sizeof *widths; c++)
                for (ptrdiff_t pixels = 0; pixels <= 70; pixels += depths[d] * widths[c] > MUCH ? 9
                                                                   : pixels < 20                ? 1
                                                                                                : 7)
                    check_block(a, make(a, depths[d], widths[c], forms[f][0], forms[f][1]), pixels);
    for (int kernel_rows = 3; kernel_rows <= 7; kernel_rows += 2)
        for (int row_stride = 1; row_stride <= 3; row_stride++)
            for (int stride = 1; stride <= 2; stride++)
                for (int dilation = 1; dilation <= 2; dilation++)
                    check_grid(a, kernel_rows, row_stride, stride, dilation);
    for (ptrdiff_t pixels = 1; pixels <= 70; pixels += 3)
        check_streamed(a, pixels);
    buffer_close(&a->x);
    buffer_close(&a->y);
    free(a);
}
