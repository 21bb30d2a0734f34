#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

static const struct {
    float min, max;
    int bits;
} cases[] = {
    {-1.0f, 1.0f, 8}, {0.0f, 6.0f, 8}, {-2.5f, 0.3f, 4},    {-7.5f, 7.5f, 4}, {-1e-3f, 2e-3f, 2},
    {3.0f, 5.0f, 10}, {0.0f, 0.0f, 8}, {-1e30f, 1e30f, 16}, {-1.0f, NAN, 8},  {-1.0f, 1.0f, 1},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Every operation by itself is exact in double, or a quotient, so rounding that to float is what a
 * float operation gives. */
static float expect(float x, float step, float zero, float lo, float hi)
{
    float v = (float)(round_even((double)(float)((double)x / (double)step)) - (double)zero);
    v = v < lo ? lo : v > hi ? hi : v;
    return (float)((double)(float)((double)v + (double)zero) * (double)step);
}

static void check_init(int c, pqc_affine p)
{
    float steps = (float)(ldexp(1.0, cases[c].bits) - 1.0);
    float range = (float)((double)cases[c].max - (double)cases[c].min);
    float step = (float)((double)range / (double)steps);
    CHECK(same_f32(p.step, step), "step %a; case %d", (double)p.step, c);
    CHECK(p.lo == -(float)ldexp(1.0, cases[c].bits - 1) && p.hi == steps + p.lo,
          "bounds %a, %a; case %d", (double)p.lo, (double)p.hi, c);
    float first = (float)round_even((double)(float)((double)cases[c].min / (double)step));
    CHECK(same_f32(p.zero, first - p.lo), "zero %a; case %d", (double)p.zero, c);
}

void test_affine(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    for (int c = 0; c < CASES; c++) {
        pqc_affine p = pqc_affine_init(cases[c].min, cases[c].max, cases[c].bits);
        check_init(c, p);
        for (int s = 0; s < size_count; s++) {
            ptrdiff_t n = sizes[s];
            size_t gap = (size_t)(s % 3) * 12;
            float *x = buffer_place(&in, (size_t)n * sizeof *x, gap);
            float *y = buffer_place(&out, (size_t)n * sizeof *y, gap);
            fill_f32(x, n, (unsigned)s);
            pqc.affine_f32(x, y, n, p);
            for (ptrdiff_t i = 0; i < n; i++) {
                float want = expect(x[i], p.step, p.zero, p.lo, p.hi);
                CHECK(same_f32(y[i], want), "affine(%a) = %a, not %a; case %d, n %td", (double)x[i],
                      (double)y[i], (double)want, c, n);
            }
            CHECK(buffer_guards_intact(&out), "affine, n %td", n);
            pqc.affine_f32(x, x, n, p);
            for (ptrdiff_t i = 0; i < n; i++)
                CHECK(same_f32(x[i], y[i]), "in place, n %td", n);
        }
    }
    buffer_close(&in);
    buffer_close(&out);
}
