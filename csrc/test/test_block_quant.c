#include "check.h"
#include "dispatch.h"
#include "small_floats.h"
#include "tests.h"

#include <math.h>

static const float steps[] = {1.0f, 0.0f, 0x1p-127f, 0x1p127f, 3.7f, NAN, 0x1p-20f};
enum { STEPS = sizeof steps / sizeof *steps };

static float expect(float x, float step, float back, small_float f)
{
    if (step == 0.0f)
        return 0.0f;
    return (float)nearest_small(f, (double)(x / step), NULL) * back;
}

static void check_floats(buffer *in, buffer *out, ptrdiff_t n, small_float f)
{
    pqc_float_format format = pqc_float_format_init(f.exponent, f.mantissa);
    float *x = buffer_place(in, (size_t)n * sizeof *x, 4), *y;
    for (int s = 0; s < STEPS; s++) {
        float back = s % 2 ? steps[s] : 1.0f;
        fill_f32(x, n, (unsigned)(n + s));
        y = buffer_place(out, (size_t)n * sizeof *y, 4);
        pqc.block_quant_f32(x, y, n, steps[s], back, &format);
        for (ptrdiff_t i = 0; i < n; i++)
            CHECK(same_f32(y[i], expect(x[i], steps[s], back, f)), "E%dM%d(%a / %a) = %a, n %td",
                  f.exponent, f.mantissa, (double)x[i], (double)steps[s], (double)y[i], n);
        CHECK(buffer_guards_intact(out), "block_quant, n %td", n);
    }
}

static void check_integers(buffer *in, buffer *out, ptrdiff_t n)
{
    pqc_float_format format = pqc_int_elements(-128.0f, 127.0f);
    float *x = buffer_place(in, (size_t)n * sizeof *x, 0);
    float *y = buffer_place(out, (size_t)n * sizeof *y, 0);
    fill_f32(x, n, (unsigned)n);
    pqc.block_quant_f32(x, y, n, 0.3f, 1.0f, &format);
    for (ptrdiff_t i = 0; i < n; i++) {
        double v = round_even((double)(x[i] / 0.3f));
        v = v < -128.0 ? -128.0 : v > 127.0 ? 127.0 : v;
        CHECK(same_f32(y[i], (float)v), "integer of %a is %a", (double)x[i], (double)y[i]);
    }
}

/* Codes of numbers that the format has, and the numbers of codes. */
static void check_codes(buffer *in, buffer *out, ptrdiff_t n, small_float f)
{
    pqc_float_format format = pqc_float_format_init(f.exponent, f.mantissa);
    static int codes[LARGEST_SIZE];
    static float table[256];
    float *q = buffer_place(in, (size_t)n * sizeof *q, 0);
    fill_f32(q, n, (unsigned)(n + f.exponent));
    for (ptrdiff_t i = 0; i < n; i++) {
        codes[i] = format.nan_code;
        q[i] = (float)nearest_small(f, (double)q[i], &codes[i]);
    }
    uint8_t *got = buffer_place(out, (size_t)n, 1);
    pqc.encode_elements(q, got, n, &format);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(got[i] == codes[i], "code of %a is %d, not %d", (double)q[i], got[i], codes[i]);
    CHECK(buffer_guards_intact(out), "encode, n %td", n);
    for (int i = 0; i < 256; i++)
        table[i] = (float)(i - 100);
    uint8_t *bytes = buffer_place(in, (size_t)n, 1);
    for (ptrdiff_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(i * 7);
    float *y = buffer_place(out, (size_t)n * sizeof *y, 4);
    pqc.decode_elements(bytes, y, n, table, 0.3f);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(same_f32(y[i], (float)((int)(uint8_t)(i * 7) - 100) * 0.3f), "decoded %d", bytes[i]);
    CHECK(buffer_guards_intact(out), "decode, n %td", n);
}

void test_block_quant(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    for (int s = 0; s < size_count; s++) {
        for (int f = 0; f < SMALL_FLOATS; f++) {
            check_floats(&in, &out, sizes[s], small_floats[f]);
            check_codes(&in, &out, sizes[s], small_floats[f]);
        }
        check_integers(&in, &out, sizes[s]);
    }
    buffer_close(&in);
    buffer_close(&out);
}
