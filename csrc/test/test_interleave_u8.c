#include "check.h"
#include "dispatch.h"
#include "tests.h"

enum { MAX_PIXELS = 140 };

static void check_case(buffer *x, buffer *y, int channels, ptrdiff_t n)
{
    const uint8_t *plane[PQC_MAX_INTERLEAVED];
    for (int c = 0; c < channels; c++) {
        uint8_t *made = buffer_place(&x[c], (size_t)n, 0);
        for (ptrdiff_t i = 0; i < n; i++)
            made[i] = (uint8_t)random_byte(false, 0, 255);
        plane[c] = made;
    }
    uint8_t *to = buffer_place(y, (size_t)(n * channels), 0);
    pqc.interleave_u8(plane, channels, n, to);
    for (ptrdiff_t i = 0; i < n * channels; i++)
        CHECK(to[i] == plane[i % channels][i / channels], "byte %td of %td pixels, %d channels", i,
              n, channels);
    CHECK(buffer_guards_intact(y), "%td pixels, %d channels", n, channels);
}

void test_interleave_u8(void)
{
    buffer x[PQC_MAX_INTERLEAVED], y;
    for (int c = 0; c < PQC_MAX_INTERLEAVED; c++)
        buffer_open(&x[c]);
    buffer_open(&y);
    for (int channels = 1; channels <= PQC_MAX_INTERLEAVED; channels++)
        for (ptrdiff_t n = 0; n <= MAX_PIXELS; n++)
            check_case(x, &y, channels, n);
    for (int c = 0; c < PQC_MAX_INTERLEAVED; c++)
        buffer_close(&x[c]);
    buffer_close(&y);
}
