#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

enum { MOST_K = 9, ROWS = 2, REACH = 600, PAST = 256 };

typedef struct {
    buffer x, y;
    int32_t offset[MOST_K];
    int8_t w[MOST_K * 4 * PQC_LINE_CHANNELS];
    int32_t start[PQC_LINE_CHANNELS], sum[PQC_LINE_CHANNELS];
    float scale[PQC_LINE_CHANNELS], bias[PQC_LINE_CHANNELS];
} arena;

static float expect(const pqc_lines_s8_block *g, ptrdiff_t row, ptrdiff_t p, int c)
{
    int64_t sum = g->start[c];
    for (ptrdiff_t j = 0; j < g->k; j++)
        for (int i = 0; i < 4; i++) {
            ptrdiff_t at = g->dilation == 0 ? 4 * p + i : p * g->stride + i * g->dilation;
            sum +=
                (int64_t)g->x[row * g->x_row + g->offset[j] + at] * g->w[j * g->w_step + 4 * c + i];
        }
    return fmaf((float)sum, g->scale[c], g->bias[c]);
}

static pqc_lines_s8_block make(arena *a, ptrdiff_t k, int channels, int stride, int dilation)
{
    size_t bytes = ROWS * REACH + PAST;
    uint8_t *x = buffer_place(&a->x, bytes, 0);
    for (size_t i = 0; i < bytes; i++)
        x[i] = (uint8_t)random_bits();
    for (int i = 0; i < MOST_K * 4 * PQC_LINE_CHANNELS; i++)
        a->w[i] = (int8_t)random_bits();
    for (int j = 0; j < MOST_K; j++)
        a->offset[j] = (int32_t)(random_bits() % 60) * 4;
    for (int c = 0; c < PQC_LINE_CHANNELS; c++) {
        int32_t weights = 0;
        for (ptrdiff_t j = 0; j < k; j++)
            for (int i = 0; i < 4; i++)
                weights += a->w[j * 4 * PQC_LINE_CHANNELS + 4 * c + i];
        a->sum[c] = 128 * weights;
        a->start[c] = -128 * weights + (int32_t)(random_bits() % 100);
        a->scale[c] = 1.0f + (float)(random_bits() >> 9) * 0x1p-23f;
        a->bias[c] = (float)(int32_t)random_bits() * 0x1p-20f;
    }
    return (pqc_lines_s8_block){.x = x,
                                .offset = a->offset,
                                .k = k,
                                .w = a->w,
                                .w_step = 4 * PQC_LINE_CHANNELS,
                                .start = a->start,
                                .sum = a->sum,
                                .scale = a->scale,
                                .bias = a->bias,
                                .channels = channels,
                                .stride = stride,
                                .dilation = dilation,
                                .rows = ROWS,
                                .x_row = REACH};
}

static void check_block(arena *a, ptrdiff_t k, int channels, ptrdiff_t pixels, int stride,
                        int dilation)
{
    pqc_lines_s8_block g = make(a, k, channels, stride, dilation);
    g.y_row = pixels + 3;
    ptrdiff_t pitch = ROWS * g.y_row + 5;
    size_t floats = (size_t)((channels - 1) * pitch + (ROWS - 1) * g.y_row + pixels);
    float *y = buffer_place(&a->y, pixels == 0 ? 0 : floats * sizeof *y, 36);
    pqc.lines_s8(&g, pixels, y, pitch);
    for (int c = 0; c < channels; c++)
        for (ptrdiff_t row = 0; row < ROWS && pixels > 0; row++) {
            const float *line = y + c * pitch + row * g.y_row;
            for (ptrdiff_t p = 0; p < pixels; p++)
                CHECK(same_f32(line[p], expect(&g, row, p, c)),
                      "pixel %td of %td, channel %d of %d, k %td, stride %d, dilation %d: %a", p,
                      pixels, c, channels, k, stride, dilation, (double)line[p]);
            bool last = c + 1 == channels && row + 1 == ROWS;
            for (ptrdiff_t p = pixels; p < pixels + 3 && !last; p++)
                CHECK(bits_f32(line[p]) == 0xa5a5a5a5, "written past pixel %td", pixels);
        }
    CHECK(buffer_guards_intact(&a->y), "%td pixels, %d channels", pixels, channels);
}

void test_lines_s8(void)
{
    static const int forms[][2] = {{1, 0}, {1, 1}, {2, 1}, {4, 1}, {1, 2}, {3, 2}, {1, 4}, {2, 3}};
    arena a;
    buffer_open(&a.x);
    buffer_open(&a.y);
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (ptrdiff_t k = 0; k <= MOST_K; k += 3)
            for (int channels = 1; channels <= PQC_LINE_CHANNELS; channels++)
                for (ptrdiff_t pixels = 0; pixels <= 70; pixels += pixels < 20 ? 1 : 7)
                    check_block(&a, k, channels, pixels, forms[f][0], forms[f][1]);
    buffer_close(&a.x);
    buffer_close(&a.y);
}
