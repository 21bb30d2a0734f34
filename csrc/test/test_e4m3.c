#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

enum { LARGEST_CODE = 0x7e }; /* 448; 0x7f is NaN */

/* By definition: exponent bias 7, subnormals in steps of 2^-9. */
static double value_of(int code)
{
    int exponent = code / 8, mantissa = code % 8;
    return exponent == 0 ? ldexp(mantissa, -9) : ldexp(8 + mantissa, exponent - 10);
}

static double nearest_e4m3(double v)
{
    double size = fabs(v);
    if (v != v)
        return v;
    int code = 0;
    while (code < LARGEST_CODE && value_of(code + 1) <= size)
        code++;
    if (code < LARGEST_CODE) {
        double below = size - value_of(code), above = value_of(code + 1) - size;
        code += above < below || (above == below && code % 2 == 1);
    }
    return copysign(value_of(code), v);
}

static float expect(float x, float mul, float div)
{
    if (fabsf(x) < 0x1p-24f)
        return 0.0f;
    return (float)(nearest_e4m3((double)(float)((double)x * (double)mul)) / (double)div);
}

static const float amaxes[] = {448.0f, 1.0f,     3.7f, 57.25f, 1e-3f,  1e-9f,
                               0.0f,   INFINITY, NAN,  1e30f,  1e-30f, 0x1p-20f};
enum { AMAXES = sizeof amaxes / sizeof *amaxes };

static pqc_e4m3 scale_of(int a)
{
    return a == AMAXES ? (pqc_e4m3){1.0f, 1.0f} : pqc_e4m3_init(amaxes[a]);
}

static void check_one_scale(const float *x, buffer *out, ptrdiff_t n, size_t gap, int a)
{
    pqc_e4m3 q = scale_of(a);
    float *y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.e4m3_f32(x, y, n, q);
    for (ptrdiff_t i = 0; i < n; i++) {
        float want = expect(x[i], q.mul, q.div);
        CHECK(same_f32(y[i], want), "e4m3(%a) = %a, not %a; amax %d, n %td", (double)x[i],
              (double)y[i], (double)want, a, n);
    }
    CHECK(buffer_guards_intact(out), "e4m3, n %td", n);
}

static void check_each_scale(const float *x, buffer *out, ptrdiff_t n, size_t gap)
{
    static float mul[LARGEST_SIZE], div[LARGEST_SIZE];
    for (ptrdiff_t i = 0; i < n; i++) {
        mul[i] = scale_of((int)(i % (AMAXES + 1))).mul;
        div[i] = scale_of((int)(i % (AMAXES + 1))).div;
    }
    float *y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.e4m3_each_f32(x, y, n, mul, div);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(same_f32(y[i], expect(x[i], mul[i], div[i])), "e4m3_each(%a) = %a; n %td",
              (double)x[i], (double)y[i], n);
    CHECK(buffer_guards_intact(out), "e4m3_each, n %td", n);
}

/* Every value, the middle to the next, and the neighbours of the middle, of both signs. */
static void check_ties(buffer *in, buffer *out)
{
    float *x = buffer_place(in, LARGEST_CODE * 5 * sizeof *x, 0);
    for (int i = 0; i < LARGEST_CODE; i++) {
        float middle = (float)((value_of(i) + value_of(i + 1)) / 2.0);
        x[5 * i] = (float)value_of(i);
        x[5 * i + 1] = middle;
        x[5 * i + 2] = -middle;
        x[5 * i + 3] = nextafterf(middle, 0.0f);
        x[5 * i + 4] = nextafterf(-middle, -INFINITY);
    }
    check_one_scale(x, out, LARGEST_CODE * 5, 0, AMAXES);
}

void test_e4m3(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    check_ties(&in, &out);
    for (int s = 0; s < size_count; s++) {
        ptrdiff_t n = sizes[s];
        size_t gap = (size_t)(s % 3) * 12;
        float *x = buffer_place(&in, (size_t)n * sizeof *x, gap);
        for (int a = 0; a <= AMAXES; a++) {
            fill_f32(x, n, (unsigned)(s * 16 + a));
            check_one_scale(x, &out, n, gap, a);
        }
        check_each_scale(x, &out, n, gap);
        float *y = buffer_place(&out, (size_t)n * sizeof *y, gap);
        pqc.e4m3_f32(x, y, n, scale_of(2));
        pqc.e4m3_f32(x, x, n, scale_of(2)); /* in place */
        for (ptrdiff_t i = 0; i < n; i++)
            CHECK(same_f32(x[i], y[i]), "in place, n %td", n);
    }
    buffer_close(&in);
    buffer_close(&out);
}
