#include "check.h"
#include "dispatch.h"
#include "expect.h"
#include "sum_f32/sum_f32.h"
#include "tests.h"

/* One channel, by the definition. */
static float expect_sum(const float *x, ptrdiff_t step, ptrdiff_t n)
{
    float s[8];
    ptrdiff_t i = 1;
    s[0] = x[0];
    if (n >= 8) {
        for (i = 1; i < 8; i++)
            s[i] = x[i * step];
        for (; i < n - n % 8; i++)
            s[i % 8] += x[i * step];
        s[0] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
    for (; i < n; i++)
        s[0] += x[i * step];
    return s[0];
}

static void check_sum(ptrdiff_t n, ptrdiff_t channels, ptrdiff_t gap, buffer *buffers)
{
    ptrdiff_t pixel = channels + gap, count = (n - 1) * pixel + channels;
    float *x = buffer_place(&buffers[0], (size_t)count * 4, 0);
    float *sums = buffer_place(&buffers[1], (size_t)channels * 4, 0);
    fill_f32(x, count, (unsigned)(n * 131 + channels));
    pqc.sum_f32((const char *)x, pixel * 4, n, channels, sums);
    for (ptrdiff_t c = 0; c < channels; c++) {
        float wanted = expect_sum(x + c, pixel, n);
        CHECK(same_f32(sums[c], wanted) || (sums[c] != sums[c] && wanted != wanted),
              "%td pixels: %a, not %a", n, (double)sums[c], (double)wanted);
    }
    CHECK(buffer_guards_intact(&buffers[1]), "%td pixels, %td channels", n, channels);
}

void test_sum_f32(void)
{
    static const ptrdiff_t counts[] = {1, 2, 7, 8, 9, 15, 16, 100, 127, PQC_RUN};
    static const ptrdiff_t channels[] = {1, 3, 16, 17, 96, PQC_SUMMED};
    buffer buffers[2];
    for (int i = 0; i < 2; i++)
        buffer_open(&buffers[i]);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t k = 0; k < sizeof channels / sizeof *channels; k++)
            check_sum(counts[i], channels[k], (ptrdiff_t)(i + k) % 3, buffers);
    for (int i = 0; i < 2; i++)
        buffer_close(&buffers[i]);
}
