#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

static float largest(const float *x, ptrdiff_t n)
{
    double most = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (x[i] != x[i])
            return NAN;
        most = fabs((double)x[i]) > most ? fabs((double)x[i]) : most;
    }
    return (float)most;
}

static float smallest(const float *x, ptrdiff_t n)
{
    double least = (double)INFINITY;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (x[i] != x[i])
            return NAN;
        least = (double)x[i] < least ? (double)x[i] : least;
    }
    return least == 0.0 ? 0.0f : (float)least; /* never -0 */
}

static void check_whole(const float *x, ptrdiff_t n, const char *what)
{
    float amax = pqc.amax_f32(x, n), min = pqc.min_f32(x, n);
    CHECK(same_f32(amax, largest(x, n)) && !signbit(amax), "%s: amax %a, n %td", what, (double)amax,
          n);
    CHECK(same_f32(min, smallest(x, n)), "%s: min %a, n %td", what, (double)min, n);
}

/* The extreme, and a NaN of either sign, at every position (of a large array at the first ones and
 * some of the others). */
static void check_positions(float *x, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += i < 100 ? 1 : 37) {
        const uint32_t planted[] = {0xc49a4000, 0x7f800000, 0xff800000, 0x7fc00000,
                                    0xffc00000, 0x7f800001, 0xff800001, 0x80000000};
        float before = x[i];
        for (int p = 0; p < 8; p++) {
            x[i] = float_from(planted[p]);
            check_whole(x, n, "planted");
        }
        x[i] = before;
    }
}

static void check_running(buffer *in, buffer *out, ptrdiff_t n, size_t gap)
{
    static float before[LARGEST_SIZE];
    float *x = buffer_place(in, (size_t)n * sizeof *x, gap);
    float *acc = buffer_place(out, (size_t)n * sizeof *acc, gap);
    fill_f32(x, n, (unsigned)n);
    fill_f32(acc, n, (unsigned)n + 500);
    for (ptrdiff_t i = 0; i < n; i++)
        before[i] = acc[i] = acc[i] != acc[i] ? acc[i] : fabsf(acc[i]); /* NaNs keep their sign */
    pqc.amax_each_f32(x, acc, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        float pair[2] = {before[i], x[i]};
        CHECK(same_f32(acc[i], largest(pair, 2)) && !signbit(acc[i]), "max of %a, %a is %a; n %td",
              (double)before[i], (double)x[i], (double)acc[i], n);
    }
    CHECK(buffer_guards_intact(out), "amax_each, n %td", n);
}

void test_amax(void)
{
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    for (int s = 0; s < size_count; s++) {
        ptrdiff_t n = sizes[s];
        size_t gap = (size_t)(s % 3) * 12;
        float *x = buffer_place(&in, (size_t)n * sizeof *x, gap);
        fill_f32(x, n, (unsigned)n);
        check_whole(x, n, "mixed");
        for (ptrdiff_t i = 0; i < n; i++)
            x[i] = (float)((int)(random_bits() % 2001) - 1000);
        check_whole(x, n, "numbers");
        check_positions(x, n);
        for (ptrdiff_t i = 0; i < n; i++)
            x[i] = -0.0f;
        check_whole(x, n, "zeros");
        for (ptrdiff_t i = 0; i < n; i++)
            x[i] = float_from(1 + random_bits() % 1000);
        check_whole(x, n, "subnormals");
        check_running(&in, &out, n, gap);
    }
    buffer_close(&in);
    buffer_close(&out);
}
