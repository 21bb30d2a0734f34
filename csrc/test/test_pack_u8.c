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

/* What a byte can carry: no NaN, nothing negative where it is unsigned, and no infinity if mul is 0.  Tame: nor anything
 * outside of the integers, for which bodies may have another way. */
static void fill_bytes(float *x, ptrdiff_t n, pqc_u8_quant q, bool tame)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        bool nan = x[i] != x[i] || (q.mul == 0.0f && fabsf(x[i]) == INFINITY);
        bool wild = tame && !(fabsf(x[i] * q.mul) < 0x1p30f);
        x[i] = nan || wild ? 0.5f : q.zero == 0 ? fabsf(x[i]) : x[i];
        if (tame && !(fabsf(x[i] * q.mul) < 0x1p30f))
            x[i] = 0.0f;
    }
}

/* Rows with gaps between them in x and in y; `channels` 0 stands for the flat form. */
static pqc_u8_rows place(buffer *in, buffer *out, ptrdiff_t n, size_t gap, int channels,
                         pqc_u8_quant q)
{
    ptrdiff_t rows = 1 + n % 3, width = channels ? 4 * n : n, channel = n + 3;
    ptrdiff_t reach = channels && n > 0 ? (channels - 1) * channel + n : n;
    ptrdiff_t x_row = reach + 5, y_row = n >= 16 && n % 2 ? width : width + 7;
    size_t floats = n == 0 ? 0 : (size_t)((rows - 1) * x_row + reach);
    size_t bytes = n == 0 ? 0 : (size_t)((rows - 1) * y_row + width);
    float *x = buffer_place(in, floats * sizeof *x, gap);
    for (size_t i = 0; i < floats; i++)
        x[i] = NAN; /* what lies between is none of the kernel's business */
    return (pqc_u8_rows){.x = x,
                         .y = buffer_place(out, bytes, gap),
                         .x_row = x_row,
                         .y_row = y_row,
                         .rows = rows,
                         .n = n,
                         .channel = channel,
                         .channels = channels,
                         .q = q};
}

static float *element(const pqc_u8_rows *r, ptrdiff_t row, int c, ptrdiff_t i)
{
    return (float *)(uintptr_t)(r->x + row * r->x_row + c * r->channel + i);
}

static unsigned run(const pqc_u8_rows *r)
{
    return (r->channels ? pqc.pack_u8_c4 : pqc.pack_u8)(r);
}

static void check_row(const pqc_u8_rows *r, ptrdiff_t row)
{
    const uint8_t *y = r->y + row * r->y_row;
    int step = r->channels ? 4 : 1;
    for (ptrdiff_t i = 0; i < r->n; i++)
        for (int c = 0; c < step; c++) {
            bool missing = r->channels && c >= r->channels;
            int want = missing ? r->q.zero : expect_byte(*element(r, row, c, i), r->q);
            CHECK(y[step * i + c] == want, "channel %d of %d, position %td of %td is %d, not %d", c,
                  r->channels, i, r->n, y[step * i + c], want);
        }
    for (ptrdiff_t i = step * r->n; i < r->y_row && row + 1 < r->rows && r->n > 0; i++) {
        CHECK(y[i] == 0xa5, "written between the rows: %td of %td", i, r->n);
    }
}

static void check_flag(const pqc_u8_rows *r, float *at)
{
    float before = *at;
    *at = NAN;
    CHECK(run(r) != 0, "NaN at %td is not found, n %td", at - r->x, r->n);
    *at = -1e-3f;
    CHECK((run(r) != 0) == (r->q.zero == 0), "negative at %td, n %td", at - r->x, r->n);
    *at = -0.0f;
    CHECK(run(r) == 0, "-0 at %td, n %td", at - r->x, r->n);
    *at = before;
}

static void check_size(buffer *in, buffer *out, ptrdiff_t n, size_t gap, int channels,
                       pqc_u8_quant q, bool tame)
{
    pqc_u8_rows r = place(in, out, n, gap, channels, q);
    for (ptrdiff_t row = 0; row < r.rows; row++)
        for (int c = 0; c < (channels ? channels : 1); c++) {
            fill_f32(element(&r, row, c, 0), n, (unsigned)(n * ROWS + row * 7 + c));
            fill_bytes(element(&r, row, c, 0), n, q, tame);
        }
    unsigned flags = run(&r);
    CHECK(flags == 0, "flags %u for nothing, n %td, %d channels", flags, n, channels);
    for (ptrdiff_t row = 0; row < r.rows; row++)
        check_row(&r, row);
    ptrdiff_t step = n > 100 ? 371 : n > 20 ? 5 : 1;
    for (ptrdiff_t i = n % step; i < n; i += step)
        check_flag(&r, element(&r, i % r.rows, channels ? (int)(i % channels) : 0, i));
    CHECK(buffer_guards_intact(out), "n %td, %d channels", n, channels);
}

static void check_half(const pqc_u8_rows *r, const uint8_t *y, int first, const buffer *b)
{
    for (ptrdiff_t row = 0; row < r->rows; row++)
        for (ptrdiff_t i = first; i < r->n; i += 2)
            for (int c = 0; c < 4; c++) {
                int want = c < r->channels ? expect_byte(*element(r, row, c, i), r->q) : r->q.zero;
                int found = y[row * r->y_row + 4 * (i / 2) + c];
                CHECK(found == want, "apart, channel %d of %d, position %td of %td is %d, not %d",
                      c, r->channels, i, r->n, found, want);
            }
    CHECK(buffer_guards_intact(b), "apart, n %td, %d channels", r->n, r->channels);
}

static uint8_t *place_half(buffer *b, const pqc_u8_rows *r, ptrdiff_t quads, size_t gap)
{
    size_t bytes = quads == 0 ? 0 : (size_t)((r->rows - 1) * r->y_row + 4 * quads);
    return buffer_place(b, bytes, gap);
}

/* Even and odd quads to two places, or one of them nowhere. */
static void check_apart(buffer *in, buffer out[2], ptrdiff_t n, size_t gap, int channels,
                        pqc_u8_quant q, bool tame)
{
    pqc_u8_rows r = place(in, out, n, gap, channels, q);
    for (ptrdiff_t row = 0; row < r.rows; row++)
        for (int c = 0; c < channels; c++) {
            fill_f32(element(&r, row, c, 0), n, (unsigned)(n * ROWS + row * 7 + c));
            fill_bytes(element(&r, row, c, 0), n, q, tame);
        }
    r.deinterleave = true;
    for (unsigned wanted = 1; wanted <= 3; wanted++) {
        uint8_t *even = place_half(&out[0], &r, (n + 1) / 2, gap);
        uint8_t *odd = place_half(&out[1], &r, n / 2, gap);
        r.y = wanted & 1 ? even : NULL;
        r.odd = wanted & 2 ? odd : NULL;
        CHECK(run(&r) == 0, "apart, flags for nothing, n %td, %d channels", n, channels);
        if (wanted & 1)
            check_half(&r, even, 0, &out[0]);
        if (wanted & 2)
            check_half(&r, odd, 1, &out[1]);
        ptrdiff_t step = n > 100 ? 371 : n > 20 ? 5 : 1;
        for (ptrdiff_t i = n % step; i < n; i += step)
            check_flag(&r, element(&r, i % r.rows, (int)(i % channels), i));
    }
}

/* Values up to the amax itself, where a body needs not look for others. */
static void check_bounded(buffer *in, buffer *out, ptrdiff_t n, int channels, float amax,
                          pqc_u8_quant q)
{
    const float most[] = {
        amax, nextafterf(amax, 0.0f), amax * 0.5f, 0.5f / q.mul, 1.5f / q.mul, 0x1p-149f, 0.0f};
    pqc_u8_rows r = place(in, out, n, 4, channels, q);
    r.q.bounded = true;
    for (ptrdiff_t row = 0; row < r.rows; row++)
        for (int c = 0; c < (channels ? channels : 1); c++)
            for (ptrdiff_t i = 0; i < n; i++) {
                float x = most[random_bits() % (sizeof most / sizeof *most)];
                x = random_bits() % 2 ? x : amax * (float)(random_bits() >> 8) * 0x1p-24f;
                x = fminf(x, amax);
                bool minus = random_bits() % 2 && (q.zero != 0 || x == 0.0f);
                *element(&r, row, c, i) = minus ? -x : x;
            }
    CHECK(run(&r) == 0, "bounded, flags for nothing, n %td, %d channels", n, channels);
    for (ptrdiff_t row = 0; row < r.rows; row++)
        check_row(&r, row);
    CHECK(buffer_guards_intact(out), "bounded, n %td, %d channels", n, channels);
}

enum { LONG = 130 };

void test_pack_u8(void)
{
    buffer in, outs[2];
    buffer_open(&in);
    buffer_open(&outs[0]);
    buffer_open(&outs[1]);
    for (int i = 0; i < 2 * CASES; i++) {
        bool tame = i % 2;
        pqc_int_format format = cases[i / 2].format;
        pqc_u8_quant q = pqc_u8_quant_of(pqc_int_quant_init(cases[i / 2].amax, format), format);
        for (int s = 0; s < size_count; s++)
            for (int channels = 0; channels <= ROWS; channels++) {
                size_t gap = (size_t)(s % 3) * 12;
                if (tame && sizes[s] > LONG)
                    continue; /* emulators take their time */
                check_size(&in, &outs[0], sizes[s], gap, channels, q, tame);
                if (q.mul > 0.0f)
                    check_bounded(&in, &outs[0], sizes[s], channels, cases[i / 2].amax, q);
                if (channels > 0 && sizes[s] <= LONG)
                    check_apart(&in, outs, sizes[s], gap, channels, q, tame);
            }
    }
    buffer_close(&in);
    buffer_close(&outs[0]);
    buffer_close(&outs[1]);
}
