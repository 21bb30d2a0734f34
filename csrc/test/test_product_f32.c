#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

enum { LONGEST = 70, NR = PQC_PRODUCT_NR, ROWS = 5 };

/* The sums of even and of odd k, in this order. */
void test_product_f32(void)
{
    static float x[ROWS * LONGEST], w[LONGEST * NR];
    buffer to;
    buffer_open(&to);
    for (ptrdiff_t k = 0; k <= LONGEST; k += k < 20 ? 1 : 25)
        for (ptrdiff_t rows = 0; rows <= ROWS; rows++) {
            size_t bytes = (size_t)(rows * NR) * sizeof(float);
            float *y = buffer_place(&to, bytes, 0);
            fill_within_f32(x, rows * k, 4.0f);
            fill_within_f32(w, k * NR, 2.0f);
            pqc.product_f32(&(pqc_product){
                .x = x, .w = w, .y = y, .x_row = k, .y_row = NR, .rows = rows, .k = k});
            for (ptrdiff_t i = 0; i < rows * NR; i++) {
                float sum[2] = {0, 0};
                for (ptrdiff_t j = 0; j < k; j++)
                    sum[j % 2] = fmaf(x[i / NR * k + j], w[j * NR + i % NR], sum[j % 2]);
                CHECK(same_f32(y[i], sum[0] + sum[1]), "k = %td, %td", k, i);
            }
            CHECK(buffer_guards_intact(&to), "k = %td, %td rows", k, rows);
        }
    buffer_close(&to);
}
