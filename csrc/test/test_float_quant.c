#include "check.h"
#include "dispatch.h"
#include "small_floats.h"
#include "tests.h"

#include <math.h>

static small_float small;
static pqc_float_format format;

static float expect(float x, float mul, float div)
{
    if (fabsf(x) < format.tiny)
        return 0.0f;
    double v = (double)(float)((double)x * (double)mul);
    return (float)(nearest_small(small, v, NULL) / (double)div);
}

static const float amaxes[] = {448.0f, 1.0f,     3.7f, 57.25f, 1e-3f,  1e-9f,
                               0.0f,   INFINITY, NAN,  1e30f,  1e-30f, 0x1p-20f};
enum { AMAXES = sizeof amaxes / sizeof *amaxes };

static pqc_float_scale scale_of(int a)
{
    return a == AMAXES ? (pqc_float_scale){1.0f, 1.0f} : pqc_float_scale_init(amaxes[a], &format);
}

static void check_one_scale(const float *x, buffer *out, ptrdiff_t n, size_t gap, int a)
{
    pqc_float_scale q = scale_of(a);
    float *y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.float_quant_f32(x, y, n, q, &format);
    for (ptrdiff_t i = 0; i < n; i++) {
        float want = expect(x[i], q.mul, q.div);
        CHECK(same_f32(y[i], want), "E%dM%d(%a) = %a, not %a; amax %d, n %td", small.exponent,
              small.mantissa, (double)x[i], (double)y[i], (double)want, a, n);
    }
    CHECK(buffer_guards_intact(out), "float_quant, n %td", n);
}

static void check_each_scale(const float *x, buffer *out, ptrdiff_t n, size_t gap)
{
    static float mul[LARGEST_SIZE], div[LARGEST_SIZE];
    for (ptrdiff_t i = 0; i < n; i++) {
        mul[i] = scale_of((int)(i % (AMAXES + 1))).mul;
        div[i] = scale_of((int)(i % (AMAXES + 1))).div;
    }
    float *y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.float_quant_each_f32(x, y, n, mul, div, &format);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(same_f32(y[i], expect(x[i], mul[i], div[i])), "float_quant_each(%a) = %a; n %td",
              (double)x[i], (double)y[i], n);
    CHECK(buffer_guards_intact(out), "float_quant_each, n %td", n);
}

/* Every value, the middle to the next, and the neighbours of the middle, of both signs. */
static void check_ties(buffer *in, buffer *out)
{
    int codes = small.largest;
    float *x = buffer_place(in, (size_t)codes * 5 * sizeof *x, 0);
    for (int i = 0; i < codes; i++) {
        float middle = (float)((small_value(small, i) + small_value(small, i + 1)) / 2.0);
        x[5 * i] = (float)small_value(small, i);
        x[5 * i + 1] = middle;
        x[5 * i + 2] = -middle;
        x[5 * i + 3] = nextafterf(middle, 0.0f);
        x[5 * i + 4] = nextafterf(-middle, -INFINITY);
    }
    check_one_scale(x, out, codes * 5, 0, AMAXES);
}

static void check_sizes(buffer *in, buffer *out)
{
    for (int s = 0; s < size_count; s++) {
        ptrdiff_t n = sizes[s];
        size_t gap = (size_t)(s % 3) * 12;
        float *x = buffer_place(in, (size_t)n * sizeof *x, gap);
        for (int a = s % 3; a <= AMAXES; a += 3) {
            fill_f32(x, n, (unsigned)(s * 16 + a));
            check_one_scale(x, out, n, gap, a);
        }
        check_each_scale(x, out, n, gap);
        float *y = buffer_place(out, (size_t)n * sizeof *y, gap);
        pqc.float_quant_f32(x, y, n, scale_of(2), &format);
        pqc.float_quant_f32(x, x, n, scale_of(2), &format); /* in place */
        for (ptrdiff_t i = 0; i < n; i++)
            CHECK(same_f32(x[i], y[i]), "in place, n %td", n);
    }
}

void test_float_quant(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    for (int f = 0; f < SMALL_FLOATS; f++) {
        small = small_floats[f];
        format = pqc_float_format_init(small.exponent, small.mantissa);
        CHECK(same_f32(format.hi, (float)small_value(small, small.largest)), "largest of %d", f);
        check_ties(&in, &out);
        check_sizes(&in, &out);
    }
    buffer_close(&in);
    buffer_close(&out);
}
