#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

enum { MAX_PIXELS = 27, MAX_CHANNELS = 37, APART = 3 };

/* Sums by the definition, taps two pixels apart; what lies between the channels of two results stays as it was. */
static void check_dwconv(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t kh, ptrdiff_t kw,
                         buffer *buffers)
{
    ptrdiff_t tap = 2 * channels, row = (pixels + 2 * kw) * channels, to = channels + APART;
    ptrdiff_t floats[] = {kh * row, kh * kw * channels, (pixels - 1) * to + channels};
    float *at[3], before[MAX_PIXELS * (MAX_CHANNELS + APART)];
    for (int i = 0; i < 3; i++) {
        at[i] = buffer_place(&buffers[i], (size_t)floats[i] * 4, 0);
        fill_within_f32(at[i], floats[i], 1.0f);
    }
    for (ptrdiff_t i = 0; i < floats[2]; i++)
        before[i] = at[2][i];
    pqc.dwconv_f32(&(pqc_dwconv_f32){at[0], at[1], at[2], pixels, channels, kh, kw, channels, row,
                                     tap, kw * channels, channels, to});
    for (ptrdiff_t i = 0; i < floats[2]; i++) {
        ptrdiff_t p = i / to, c = i % to;
        float acc = before[i];
        for (ptrdiff_t t = 0; c < channels && t < kh * kw; t++)
            acc = fmaf(at[0][p * channels + t / kw * row + t % kw * tap + c],
                       at[1][t * channels + c], acc);
        CHECK(same_f32(at[2][i], acc), "%td x %td, %td x %td: %a, not %a", pixels, channels, kh, kw,
              (double)at[2][i], (double)acc);
    }
    CHECK(buffer_guards_intact(&buffers[2]), "%td x %td", pixels, channels);
}

void test_dwconv_f32(void)
{
    buffer buffers[3];
    for (int i = 0; i < 3; i++)
        buffer_open(&buffers[i]);
    for (ptrdiff_t channels = 1; channels <= MAX_CHANNELS; channels += channels < 18 ? 1 : 5)
        for (ptrdiff_t pixels = 1; pixels <= MAX_PIXELS; pixels += pixels < 14 ? 3 : 13)
            check_dwconv(pixels, channels, (channels + pixels) % 4, 1 + pixels % 3, buffers);
    for (int i = 0; i < 3; i++)
        buffer_close(&buffers[i]);
}
