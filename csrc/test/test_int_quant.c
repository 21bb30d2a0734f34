#include "check.h"
#include "dispatch.h"
#include "expect.h"
#include "tests.h"

#include <math.h>

static void one_scale(buffer *in, buffer *out, ptrdiff_t n, size_t gap, int c)
{
    pqc_int_quant q = pqc_int_quant_init(int_quant_cases[c].amax, int_quant_cases[c].format);
    float *x = buffer_place(in, (size_t)n * sizeof *x, gap);
    fill_f32(x, n, (unsigned)(n * INT_QUANT_CASES + c));
    pqc_int_quant_f32_fn *fakes[] = {pqc.fake_quant_f32, pqc.fake_quant_stream_f32};

    float *y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.quantize_f32(x, y, n, q);
    for (ptrdiff_t i = 0; i < n; i++) {
        float want = expect_quantized(x[i], q.mul, q.lo, q.hi);
        CHECK(same_f32(y[i], want), "quantize(%a) = %a, not %a; case %d, n %td", (double)x[i],
              (double)y[i], (double)want, c, n);
    }
    CHECK(buffer_guards_intact(out), "quantize, n %td", n);
    for (int f = 0; f < 2; f++) {
        y = buffer_place(out, (size_t)n * sizeof *y, gap);
        fakes[f](x, y, n, q);
        for (ptrdiff_t i = 0; i < n; i++) {
            float want = expect_fake(x[i], q.mul, q.div, q.lo, q.hi);
            CHECK(same_f32(y[i], want), "fake %d (%a) = %a, not %a; case %d, n %td", f,
                  (double)x[i], (double)y[i], (double)want, c, n);
        }
        CHECK(buffer_guards_intact(out) && buffer_guards_intact(in), "fake %d, n %td", f, n);
    }
    pqc.fake_quant_f32(x, x, n, q); /* in place */
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(same_f32(x[i], y[i]), "in place, n %td", n);
}

static void each_scale(buffer *in, buffer *out, ptrdiff_t n, size_t gap)
{
    static float mul[LARGEST_SIZE], div[LARGEST_SIZE];
    pqc_int_format format = {8, n % 2 == 0, n % 3 == 0};
    pqc_int_quant q = pqc_int_quant_init(1.0f, format);
    float *x = buffer_place(in, (size_t)n * sizeof *x, gap);
    fill_f32(x, n, (unsigned)n);
    for (ptrdiff_t i = 0; i < n; i++) {
        pqc_int_quant own = pqc_int_quant_init(int_quant_cases[i % INT_QUANT_CASES].amax, format);
        mul[i] = own.mul;
        div[i] = own.div;
    }
    float *y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.quantize_each_f32(x, y, n, mul, div, q);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(same_f32(y[i], expect_quantized(x[i], mul[i], q.lo, q.hi)), "x %a, n %td",
              (double)x[i], n);
    CHECK(buffer_guards_intact(out), "quantize_each, n %td", n);
    y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.fake_quant_each_f32(x, y, n, mul, div, q);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(same_f32(y[i], expect_fake(x[i], mul[i], div[i], q.lo, q.hi)), "x %a, n %td",
              (double)x[i], n);
    CHECK(buffer_guards_intact(out), "fake_quant_each, n %td", n);
}

void test_int_quant(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    for (int s = 0; s < size_count; s++) {
        size_t gap = (size_t)(s % 3) * 12;
        for (int c = 0; c < INT_QUANT_CASES; c++)
            one_scale(&in, &out, sizes[s], gap, c);
        each_scale(&in, &out, sizes[s], gap);
    }
    buffer_close(&in);
    buffer_close(&out);
}
