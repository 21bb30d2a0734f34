#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <stdlib.h>

enum { MAX_CHANNELS = 140, MAX_PIXELS = 4 };

typedef struct {
    buffer x, y;
} arena;

static uint8_t expect(const pqc_maxpool_params *g, ptrdiff_t p, ptrdiff_t c)
{
    int most = -1;
    for (ptrdiff_t i = 0; i < g->kh; i++)
        for (ptrdiff_t j = 0; j < g->kw; j++)
            most = (int)pqc_max(most, g->x[p * g->step + i * g->tap_row + j * g->tap_pixel + c]);
    return (uint8_t)most;
}

static void check_case(arena *a, ptrdiff_t channels, ptrdiff_t kh, ptrdiff_t kw, ptrdiff_t pixels)
{
    ptrdiff_t pixel = channels + random_byte(false, 0, 9), row = 9 * pixel;
    pqc_maxpool_params g = {.kh = kh,
                            .kw = kw,
                            .tap_row = row,
                            .tap_pixel = pixel,
                            .step = 2 * pixel,
                            .channels = channels,
                            .y_pixel = channels + 3};
    size_t bytes = (size_t)((kh - 1) * row + (kw - 1 + 2 * (MAX_PIXELS - 1)) * pixel + channels);
    uint8_t *x = buffer_place(&a->x, bytes, 0);
    for (size_t i = 0; i < bytes; i++)
        x[i] = (uint8_t)random_byte(false, 0, 255);
    size_t size = (size_t)((pqc_max(pixels, 1) - 1) * g.y_pixel + channels);
    uint8_t *y = buffer_place(&a->y, size, 0);
    for (size_t i = 0; i < size; i++)
        y[i] = 77;
    g.x = x;
    pqc.maxpool_nhwc(&g, pixels, y);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)size; i++) {
        ptrdiff_t p = i / g.y_pixel, c = i % g.y_pixel;
        int expected = p < pixels && c < channels ? expect(&g, p, c) : 77;
        CHECK(y[i] == expected, "%td x %td taps, pixel %td of %td, channel %td of %td", kh, kw, p,
              pixels, c, channels);
    }
    CHECK(buffer_guards_intact(&a->y), "%td channels", channels);
}

void test_maxpool_nhwc(void)
{
    arena *a = calloc(1, sizeof *a);
    buffer_open(&a->x);
    buffer_open(&a->y);
    for (ptrdiff_t channels = 1; channels <= MAX_CHANNELS; channels++)
        for (ptrdiff_t k = 0; k < 9; k++)
            check_case(a, channels, 1 + k % 3, 1 + k / 3, (channels + k) % (MAX_PIXELS + 1));
    buffer_close(&a->x);
    buffer_close(&a->y);
    free(a);
}
