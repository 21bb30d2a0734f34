#include "check.h"
#include "dispatch.h"
#include "expect.h"
#include "tests.h"

#include <math.h>

enum { ROWS = 4 };

static const struct {
    float amax;
    pqc_int_format format;
} cases[] = {
    {1.0f, {8, false, true}},  {3.7f, {8, false, false}}, {2.5f, {8, true, true}},
    {127.0f, {4, true, true}}, {0.25f, {2, false, true}}, {0.0f, {8, false, false}},
    {1e30f, {8, false, true}},
};
enum { CASES = sizeof cases / sizeof *cases };

static uint8_t expect_byte(float x, pqc_u8_quant q)
{
    return (uint8_t)((int)expect_quantized(x, q.mul, q.lo, q.hi) + q.zero);
}

/* What a byte can carry: no NaN, nothing negative where it is unsigned, and no infinity if mul is
 * 0. */
static void fill_bytes(float *x, ptrdiff_t n, pqc_u8_quant q)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        bool nan = x[i] != x[i] || (q.mul == 0.0f && fabsf(x[i]) == INFINITY);
        x[i] = nan ? 0.5f : q.zero == 0 ? fabsf(x[i]) : x[i];
    }
}

static void check_flat(buffer *in, buffer *out, ptrdiff_t n, size_t gap, pqc_u8_quant q)
{
    float *x = buffer_place(in, (size_t)n * sizeof *x, gap);
    uint8_t *y = buffer_place(out, (size_t)n, gap);
    fill_f32(x, n, (unsigned)n);
    fill_bytes(x, n, q);
    unsigned flags = pqc.quantize_u8(x, y, n, q);
    CHECK(flags == 0, "flags %u for nothing, n %td", flags, n);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(y[i] == expect_byte(x[i], q), "byte of %a is %d, not %d; n %td", (double)x[i], y[i],
              expect_byte(x[i], q), n);
    CHECK(buffer_guards_intact(out), "quantize_u8, n %td", n);
    for (ptrdiff_t i = 0; i<n; i += n> 100 ? 37 : 1) {
        float before = x[i];
        x[i] = NAN;
        CHECK(pqc.quantize_u8(x, y, n, q) != 0, "NaN at %td of %td is not found", i, n);
        x[i] = -1e-3f;
        CHECK((pqc.quantize_u8(x, y, n, q) != 0) == (q.zero == 0), "negative at %td of %td", i, n);
        x[i] = -0.0f;
        CHECK(pqc.quantize_u8(x, y, n, q) == 0 && y[i] == q.zero, "-0 at %td of %td", i, n);
        x[i] = before;
    }
    CHECK(buffer_guards_intact(out), "quantize_u8, n %td", n);
}

static void check_quads(buffer *in, buffer *out, ptrdiff_t n, size_t gap, int rows, pqc_u8_quant q)
{
    ptrdiff_t stride = n + 3, length = n == 0 ? 0 : (rows - 1) * stride + n;
    float *x = buffer_place(in, (size_t)length * sizeof *x, gap);
    uint8_t *y = buffer_place(out, (size_t)(4 * n), gap);
    fill_f32(x, length, (unsigned)(n * ROWS + rows));
    fill_bytes(x, length, q);
    for (int r = 0; r + 1 < rows; r++) /* what lies between the rows is none of its business */
        for (ptrdiff_t i = n; i < stride && n > 0; i++)
            x[r * stride + i] = NAN;
    unsigned flags = pqc.quantize_u8_quads(x, stride, rows, y, n, q);
    CHECK(flags == 0, "flags %u for nothing, n %td, %d rows", flags, n, rows);
    for (ptrdiff_t i = 0; i < n; i++)
        for (int r = 0; r < ROWS; r++) {
            int want = r < rows ? expect_byte(x[r * stride + i], q) : q.zero;
            CHECK(y[4 * i + r] == want, "row %d of %d, position %td of %td is %d, not %d", r, rows,
                  i, n, y[4 * i + r], want);
        }
    CHECK(buffer_guards_intact(out), "quads, n %td, %d rows", n, rows);
    for (int r = 0; r < rows && n > 0; r++) {
        ptrdiff_t at = r * stride + random_bits() % (uint32_t)n;
        float before = x[at];
        x[at] = NAN;
        CHECK(pqc.quantize_u8_quads(x, stride, rows, y, n, q) != 0, "NaN in row %d, n %td", r, n);
        x[at] = -2.0f;
        flags = pqc.quantize_u8_quads(x, stride, rows, y, n, q);
        CHECK((flags != 0) == (q.zero == 0), "negative in row %d, n %td", r, n);
        x[at] = before;
    }
    CHECK(buffer_guards_intact(out), "quads, n %td, %d rows", n, rows);
}

void test_quantize_u8(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    for (int c = 0; c < CASES; c++) {
        pqc_u8_quant q = pqc_u8_quant_init(cases[c].amax, cases[c].format);
        for (int s = 0; s < size_count; s++) {
            size_t gap = (size_t)(s % 3) * 12;
            check_flat(&in, &out, sizes[s], gap, q);
            for (int rows = 1; rows <= ROWS; rows++)
                check_quads(&in, &out, sizes[s], gap, rows, q);
        }
    }
    buffer_close(&in);
    buffer_close(&out);
}
