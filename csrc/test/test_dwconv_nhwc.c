#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <stdlib.h>

enum { MAX_TAPS = 26, MAX_WIDTH = 64, MAX_POINTS = 9, REACH = 4000, SPARE = 7 };

typedef struct {
    buffer x;
    int32_t offset[MAX_TAPS], pixel[MAX_POINTS], compensation[MAX_WIDTH];
    int16_t w[MAX_TAPS * 2 * MAX_WIDTH];
    int32_t acc[MAX_POINTS * (MAX_WIDTH + SPARE)];
} arena;

/* Extremes half of the time: 255 * -128 in every tap. */
static void fill(arena *a, ptrdiff_t taps, ptrdiff_t channels)
{
    bool extreme = random_bits() % 2 != 0;
    size_t bytes = (size_t)(2 * REACH + channels);
    uint8_t *x = buffer_place(&a->x, bytes, 0);
    for (size_t i = 0; i < bytes; i++)
        x[i] = (uint8_t)random_byte(extreme, 0, 255);
    for (int i = 0; i < MAX_TAPS * 2 * MAX_WIDTH; i++)
        a->w[i] = (int16_t)random_byte(extreme, -128, 127);
    for (ptrdiff_t i = taps; i < 2 * pqc_div_round_up(taps, 2); i++)
        for (int c = 0; c < MAX_WIDTH; c++)
            a->w[i / 2 * 2 * MAX_WIDTH + 2 * c + i % 2] = 0;
    for (int i = 0; i < MAX_TAPS; i++)
        a->offset[i] = i == 0 ? REACH : (int32_t)(random_bits() % REACH);
    for (int i = 0; i < MAX_POINTS; i++)
        a->pixel[i] = i == 0 ? REACH : (int32_t)(random_bits() % REACH);
    for (int i = 0; i < MAX_WIDTH; i++)
        a->compensation[i] = (int32_t)random_bits() >> 8;
}

static void check_case(arena *a, ptrdiff_t taps, ptrdiff_t channels, int pixels)
{
    ptrdiff_t ld = channels + SPARE;
    fill(a, taps, channels);
    pqc_dwconv_nhwc_params g = {.x = a->x.data,
                                .offset = a->offset,
                                .taps = taps,
                                .channels = channels,
                                .ld = ld,
                                .w_pitch = 2 * MAX_WIDTH,
                                .w = a->w,
                                .compensation = a->compensation};
    for (int i = 0; i < MAX_POINTS * (MAX_WIDTH + SPARE); i++)
        a->acc[i] = 12345;
    pqc.dwconv_nhwc(&g, a->pixel, pixels, a->acc);
    for (int p = 0; p < MAX_POINTS; p++)
        for (ptrdiff_t c = 0; c < ld; c++) {
            int64_t sum = a->compensation[c < channels ? c : 0];
            for (ptrdiff_t j = 0; j < taps && c < channels; j++)
                sum += (int64_t)g.x[a->pixel[p] + a->offset[j] + c] *
                       a->w[j / 2 * 2 * MAX_WIDTH + 2 * c + j % 2];
            int64_t expected = c < channels && p < pixels ? sum : 12345;
            CHECK(a->acc[p * ld + c] == expected, "%td taps, pixel %d, channel %td of %td", taps, p,
                  c, channels);
        }
}

void test_dwconv_nhwc(void)
{
    arena *a = calloc(1, sizeof *a);
    buffer_open(&a->x);
    for (ptrdiff_t taps = 1; taps <= MAX_TAPS; taps++)
        for (ptrdiff_t channels = 16; channels <= MAX_WIDTH; channels += 16)
            for (int pixels = 0; pixels <= MAX_POINTS; pixels++)
                check_case(a, taps, channels, pixels);
    buffer_close(&a->x);
    free(a);
}
