#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

/* Sums of integers and their scales: fmaf is correctly rounded wherever it is. */
void test_rescale_row(void)
{
    static double inverse[LARGEST_SIZE];
    static float sums[LARGEST_SIZE], bias[LARGEST_SIZE];
    buffer out;
    buffer_open(&out);
    for (int s = 0; s < size_count; s++) {
        ptrdiff_t n = sizes[s];
        float *y = buffer_place(&out, (size_t)n * sizeof *y, 4);
        for (ptrdiff_t i = 0; i < n; i++) {
            y[i] = sums[i] = (float)(int32_t)random_bits();
            inverse[i] = 1.0 / (1.0 + (double)(random_bits() % 1000));
            bias[i] = (float)(int32_t)random_bits() * 0x1p-20f;
        }
        pqc.rescale_row(y, n, 0.37, inverse, bias);
        for (ptrdiff_t i = 0; i < n; i++) {
            float want = fmaf(sums[i], (float)(0.37 * inverse[i]), bias[i]);
            CHECK(same_f32(y[i], want), "%a, not %a; n %td", (double)y[i], (double)want, n);
        }
        CHECK(buffer_guards_intact(&out), "rescale_row, n %td", n);
    }
    buffer_close(&out);
}
