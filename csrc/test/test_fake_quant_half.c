#include "check.h"
#include "dispatch.h"
#include "expect.h"
#include "tests.h"

static void check_half(buffer *in, buffer *out, ptrdiff_t n, size_t gap, int c, bool f16)
{
    pqc_int_quant q = pqc_int_quant_init(int_quant_cases[c].amax, int_quant_cases[c].format);
    uint16_t *x = buffer_place(in, (size_t)n * sizeof *x, gap);
    uint16_t *y = buffer_place(out, (size_t)n * sizeof *y, gap);
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = (uint16_t)random_bits();
    (f16 ? pqc.fake_quant_f16 : pqc.fake_quant_bf16)(x, y, n, q);
    for (ptrdiff_t i = 0; i < n; i++) {
        float wide = float_from(f16 ? expect_from_f16(x[i]) : (uint32_t)x[i] << 16);
        float fake = expect_fake(wide, q.mul, q.div, q.lo, q.hi);
        unsigned want = f16 ? expect_f16(fake) : expect_bf16(fake);
        unsigned infinity = f16 ? 0x7c00 : 0x7f80; /* above it NaN, of any payload */
        CHECK(fake != fake ? (y[i] & 0x7fff) > infinity : y[i] == want,
              "%s %04x gives %04x, not %04x; case %d, n %td", f16 ? "f16" : "bf16", x[i], y[i],
              want, c, n);
    }
    CHECK(buffer_guards_intact(out), "half, n %td", n);
    (f16 ? pqc.fake_quant_f16 : pqc.fake_quant_bf16)(x, x, n, q);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(x[i] == y[i], "in place, n %td", n);
}

void test_fake_quant_half(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    for (int s = 0; s < size_count; s++)
        for (int c = 0; c < INT_QUANT_CASES; c++) {
            check_half(&in, &out, sizes[s], (size_t)(s % 3) * 12, c, true);
            check_half(&in, &out, sizes[s], (size_t)(s % 3) * 12, c, false);
        }
    buffer_close(&in);
    buffer_close(&out);
}
