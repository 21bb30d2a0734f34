#include "check.h"
#include "dispatch.h"
#include "interpolate_f32/interpolate_f32.h"
#include "tests.h"

enum { MAX_TAPS = 5, MAX_COUNT = 7, ROWS = 6, MAX_FLOATS = 200 };

/* By the definition, one element. */
static float expect_element(const float *x, ptrdiff_t row, const ptrdiff_t *place,
                            const float *weight, ptrdiff_t taps)
{
    float sum = x[place[0] * row] * weight[0];
    for (ptrdiff_t k = 1; k < taps; k++) {
        float product = x[place[k] * row] * weight[k];
        sum = sum + product;
    }
    return taps == 1 ? x[place[0] * row] : sum;
}

static void check_rows(ptrdiff_t taps, ptrdiff_t count, ptrdiff_t n, buffer *buffers)
{
    ptrdiff_t row = n + (taps + n) % 3, place[MAX_COUNT * MAX_TAPS];
    float weight[MAX_COUNT * MAX_TAPS];
    float *x = buffer_place(&buffers[0], (size_t)((ROWS - 1) * row + n) * 4, 0);
    float *y = buffer_place(&buffers[1], (size_t)(count * n) * 4, 0);
    fill_f32(x, (ROWS - 1) * row + n, (unsigned)(taps * 31 + n));
    fill_f32(weight, count * taps, (unsigned)(count + n));
    for (ptrdiff_t i = 0; i < count * taps; i++)
        place[i] = (ptrdiff_t)(random_bits() % ROWS);
    pqc_interpolation p = {(const char *)x, row * 4, place, weight, taps};
    pqc.interpolate_f32(&p, count, n, y);
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t e = 0; e < n; e++) {
            float wanted = expect_element(x + e, row, place + i * taps, weight + i * taps, taps);
            CHECK(same_f32(y[i * n + e], wanted), "%td taps, row %td of %td floats: %a, not %a",
                  taps, i, n, (double)y[i * n + e], (double)wanted);
        }
    CHECK(buffer_guards_intact(&buffers[1]), "%td taps, %td rows of %td floats", taps, count, n);
}

void test_interpolate_f32(void)
{
    static const ptrdiff_t lengths[] = {0, 1, 3, 8, 15, 16, 17, 64, 100, MAX_FLOATS};
    buffer buffers[2];
    for (int i = 0; i < 2; i++)
        buffer_open(&buffers[i]);
    for (ptrdiff_t taps = 1; taps <= MAX_TAPS; taps++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            for (ptrdiff_t count = 0; count <= MAX_COUNT; count += MAX_COUNT)
                check_rows(taps, count, lengths[i], buffers);
    for (int i = 0; i < 2; i++)
        buffer_close(&buffers[i]);
}
