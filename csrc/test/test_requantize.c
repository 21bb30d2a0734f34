#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

typedef struct {
    buffer acc, scale, bias, y;
} arena;

/* Sums that a float does not hold exactly among them. */
static void check_requantize(arena *a, int pixels, int channels, bool nchw)
{
    ptrdiff_t ld = (channels + 15) / 16 * 16, stride = (nchw ? pixels : channels) + 3;
    ptrdiff_t lines = nchw ? channels : pixels, length = nchw ? pixels : channels;
    int32_t *acc = buffer_place(&a->acc, (size_t)(pixels * ld) * 4, 0);
    float *scale = buffer_place(&a->scale, (size_t)channels * 4, 0);
    float *bias = buffer_place(&a->bias, (size_t)channels * 4, 0);
    size_t bytes = lines == 0 || length == 0 ? 0 : (size_t)((lines - 1) * stride + length) * 4;
    float *y = buffer_place(&a->y, bytes, 36);
    for (ptrdiff_t i = 0; i < pixels * ld; i++)
        acc[i] = (int32_t)random_bits() >> random_bits() % 32;
    for (int c = 0; c < channels; c++) {
        scale[c] =
            ldexpf(1.0f + (float)(random_bits() >> 9) * 0x1p-23f, -(int)(random_bits() % 40));
        bias[c] = c % 3 == 0 ? 0.0f : (float)(int32_t)random_bits() * 0x1p-20f;
    }
    pqc_sums sums = {acc, ld, pixels, channels};
    pqc_output_f32 to = {scale, bias, y, nchw ? 1 : stride, nchw ? stride : 1, false};
    (nchw ? pqc.requantize_nchw : pqc.requantize_nhwc)(sums, &to);
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++) {
            float got = nchw ? y[c * stride + p] : y[p * stride + c];
            float want = fmaf((float)acc[p * ld + c], scale[c], bias[c]);
            CHECK(same_f32(got, want), "%s: pixel %d of %d, channel %d of %d: %a, not %a",
                  nchw ? "nchw" : "nhwc", p, pixels, c, channels, (double)got, (double)want);
        }
    for (ptrdiff_t line = 0; line + 1 < lines && length > 0; line++)
        for (ptrdiff_t i = length; i < stride; i++)
            CHECK(bits_f32(y[line * stride + i]) == 0xa5a5a5a5, "%d pixels, %d channels", pixels,
                  channels);
    CHECK(buffer_guards_intact(&a->y), "%d pixels, %d channels", pixels, channels);
}

void test_requantize(void)
{
    arena a;
    buffer_open(&a.acc), buffer_open(&a.scale), buffer_open(&a.bias), buffer_open(&a.y);
    for (int pixels = 0; pixels <= 64; pixels += pixels < 35 ? 1 : 29)
        for (int channels = 1; channels <= 64; channels++) {
            check_requantize(&a, pixels, channels, false);
            check_requantize(&a, pixels, channels, true);
        }
    buffer_close(&a.acc), buffer_close(&a.scale), buffer_close(&a.bias), buffer_close(&a.y);
}
