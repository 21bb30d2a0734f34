#include "check.h"
#include "dispatch.h"
#include "expect.h"
#include "tests.h"

static void check_codes(const pqc_pixels *form, ptrdiff_t n, buffer *buffers, unsigned seed)
{
    float *x = buffer_place(&buffers[0], (size_t)n * 4, seed % 3 * 4);
    void *codes = buffer_place(&buffers[1], (size_t)(n * pqc_content_size(form->content)), 0);
    float *y = buffer_place(&buffers[2], (size_t)n * 4, 0);
    unsigned expected = 0;
    fill_f32(x, n, seed);
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = x[i] != x[i] && seed % 4 ? 1 : x[i];
    unsigned flags = pqc.encode_f32(form, x, codes, n);
    pqc.decode_f32(form, codes, y, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        if (form->content == PQC_FLOATS) {
            CHECK(same_f32(y[i], x[i]), "%a, not %a", (double)y[i], (double)x[i]);
            continue;
        }
        expected |= x[i] != x[i] ? PQC_U8_NAN : 0;
        expected |= form->refuses_negative && x[i] < 0 ? PQC_U8_NEGATIVE : 0;
        float code = expect_quantized(x[i], form->mul, form->lo, form->hi);
        CHECK(x[i] != x[i] || same_f32(y[i] + 0, (float)((double)code / (double)form->div) + 0),
              "%a: %a, not code %g", (double)x[i], (double)y[i], (double)code);
    }
    CHECK(flags == expected, "flags %u, not %u", flags, expected);
    CHECK(buffer_guards_intact(&buffers[1]) && buffer_guards_intact(&buffers[2]), "n = %td", n);
}

void test_codes_f32(void)
{
    buffer buffers[3];
    for (int i = 0; i < 3; i++)
        buffer_open(&buffers[i]);
    for (int content = PQC_FLOATS; content <= PQC_S16_CODES; content++)
        for (int i = 0; i < size_count; i++) {
            float div = 1.0f + (float)(i * 37 % 91) / 7;
            int32_t zero = content == PQC_U8_CODES ? i * 53 % 256 : 0;
            pqc_pixels form = {
                .content = (pqc_content)content, .mul = div, .div = div, .zero = zero};
            form.lo = content == PQC_U8_CODES ? (float)-zero : -32767;
            form.hi = content == PQC_U8_CODES ? (float)(255 - zero) : 32767;
            form.refuses_negative = i % 3 == 0;
            check_codes(&form, sizes[i], buffers, (unsigned)i);
        }
    for (int i = 0; i < 3; i++)
        buffer_close(&buffers[i]);
}
