#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

enum { LONGEST = 300 };

static void check_softmax(const float *x, const float *y, ptrdiff_t n)
{
    double top = -INFINITY, sum = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        top = fmax(top, (double)x[i]);
    for (ptrdiff_t i = 0; i < n; i++)
        sum += exp((double)x[i] - top);
    for (ptrdiff_t i = 0; i < n; i++) {
        double wanted = exp((double)x[i] - top) / sum;
        CHECK(fabs((double)y[i] - wanted) <= 3e-6 * wanted, "%g, not %g", (double)y[i], wanted);
    }
}

static void check_layer_norm(const float *x, const float *y, ptrdiff_t n, const pqc_layer_norm *p)
{
    double mean = 0, variance = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        mean += (double)x[i] / (double)n;
    for (ptrdiff_t i = 0; i < n; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    for (ptrdiff_t i = 0; i < n; i++) {
        double wanted = ((double)x[i] - mean) / sqrt(variance + p->epsilon);
        wanted =
            wanted * (double)(p->weight ? p->weight[i] : 1) + (double)(p->bias ? p->bias[i] : 0);
        CHECK(fabs((double)y[i] - wanted) <= 2e-5, "%g, not %g", (double)y[i], wanted);
    }
}

void test_rows_f32(void)
{
    buffer from, to;
    float weight[LONGEST], bias[LONGEST];
    buffer_open(&from);
    buffer_open(&to);
    for (ptrdiff_t n = 1; n <= LONGEST; n += n < 40 ? 1 : 37) {
        float *x = buffer_place(&from, (size_t)n * 4, 0), *y = buffer_place(&to, (size_t)n * 4, 4);
        for (ptrdiff_t i = 0; i < n; i++) {
            x[i] = (float)(int32_t)random_bits() * 0x1p-29f;
            weight[i] = (float)(int32_t)random_bits() * 0x1p-31f;
            bias[i] = (float)(int32_t)random_bits() * 0x1p-31f;
        }
        pqc_layer_norm p = {n % 2 ? weight : NULL, n % 3 ? bias : NULL, 1e-3};
        pqc.softmax_f32(x, y, 1, n);
        check_softmax(x, y, n);
        pqc.layer_norm_f32(x, y, n, &p);
        check_layer_norm(x, y, n, &p);
        CHECK(buffer_guards_intact(&to), "n = %td", n);
    }
    buffer_close(&from);
    buffer_close(&to);
}
