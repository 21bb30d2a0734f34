#include "check.h"
#include "dispatch.h"
#include "expect.h"
#include "tests.h"

#include <math.h>

enum { CODES = 1 << 16 };

static void check_narrowing(const float *x, buffer *out, ptrdiff_t n, size_t gap)
{
    uint16_t *y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.f32_to_f16(x, y, n);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(y[i] == expect_f16(x[i]), "f16 of %a (%08x) is %04x, not %04x; n %td", (double)x[i],
              bits_f32(x[i]), y[i], expect_f16(x[i]), n);
    CHECK(buffer_guards_intact(out), "f32_to_f16, n %td", n);
    y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.f32_to_bf16(x, y, n);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(y[i] == expect_bf16(x[i]), "bf16 of %a (%08x) is %04x, not %04x; n %td", (double)x[i],
              bits_f32(x[i]), y[i], expect_bf16(x[i]), n);
    CHECK(buffer_guards_intact(out), "f32_to_bf16, n %td", n);
}

/* Signalling NaNs are compared as bits: loading one as a float may change it. */
static void check_widening(const uint16_t *x, buffer *out, ptrdiff_t n, size_t gap)
{
    const uint32_t *bits = buffer_place(out, (size_t)n * sizeof(float), gap);
    pqc.f16_to_f32(x, (float *)out->data, n);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(bits[i] == expect_from_f16(x[i]), "f16 %04x is %08x, not %08x; n %td", x[i], bits[i],
              expect_from_f16(x[i]), n);
    CHECK(buffer_guards_intact(out), "f16_to_f32, n %td", n);
    bits = buffer_place(out, (size_t)n * sizeof(float), gap);
    pqc.bf16_to_f32(x, (float *)out->data, n);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(bits[i] == (uint32_t)x[i] << 16, "bf16 %04x is %08x; n %td", x[i], bits[i], n);
    CHECK(buffer_guards_intact(out), "bf16_to_f32, n %td", n);
}

/* Every half, the points in the middle between two, and the floats on both sides of those. */
static void check_neighbours(buffer *in, buffer *out, int mantissa_bits, int bias,
                             unsigned infinity)
{
    enum { BATCH = 4096 };
    for (unsigned first = 0; first < infinity; first += BATCH) {
        unsigned count = infinity - first < BATCH ? infinity - first : BATCH;
        float *x = buffer_place(in, count * 4 * sizeof *x, 0);
        for (unsigned i = 0; i < count; i++) {
            double a = value_of_code(first + i, mantissa_bits, bias);
            double b = value_of_code(first + i + 1, mantissa_bits, bias);
            float middle = (float)((a + b) / 2.0);
            x[4 * i] = (float)a;
            x[4 * i + 1] = -middle;
            x[4 * i + 2] = nextafterf(middle, 0.0f);
            x[4 * i + 3] = nextafterf(middle, INFINITY);
        }
        check_narrowing(x, out, (ptrdiff_t)count * 4, 0);
    }
}

void test_half(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    uint16_t *codes = buffer_place(&in, CODES * sizeof *codes, 0);
    for (unsigned i = 0; i < CODES; i++)
        codes[i] = (uint16_t)i;
    check_widening(codes, &out, CODES, 0);
    for (int s = 0; s < size_count; s++) {
        ptrdiff_t n = sizes[s];
        size_t gap = (size_t)(s % 3) * 12;
        float *x = buffer_place(&in, (size_t)n * sizeof *x, gap);
        fill_f32(x, n, (unsigned)s);
        check_narrowing(x, &out, n, gap);
        for (ptrdiff_t i = 0; i < n; i++)
            x[i] = float_from(random_bits());
        check_narrowing(x, &out, n, gap);
        uint16_t *h = buffer_place(&in, (size_t)n * sizeof *h, gap);
        for (ptrdiff_t i = 0; i < n; i++)
            h[i] = (uint16_t)random_bits();
        check_widening(h, &out, n, gap);
    }
    check_neighbours(&in, &out, 10, 15, 0x7c00);
    check_neighbours(&in, &out, 7, 127, 0x7f80);
    buffer_close(&in);
    buffer_close(&out);
}
