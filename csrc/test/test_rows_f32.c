#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <string.h>

enum { LONGEST = 300, MAX_ROWS = 17 };

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

static void check_norms_together(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
    static float alone[1041], vectors[2][1041];
    for (ptrdiff_t i = 0; i < n; i++) {
        vectors[0][i] = (float)(int32_t)random_bits() * 0x1p-31f;
        vectors[1][i] = (float)(int32_t)random_bits() * 0x1p-31f;
    }
    pqc_layer_norm p = {rows % 2 ? vectors[0] : NULL, rows % 3 ? vectors[1] : NULL, 1e-3};
    pqc.layer_norm_f32(x, y, rows, n, &p);
    for (ptrdiff_t r = 0; r < rows; r++) {
        pqc.layer_norm_f32(x + r * n, alone, 1, n, &p);
        CHECK(memcmp(y + r * n, alone, (size_t)n * sizeof *y) == 0, "row %td of %td rows of %td", r,
              rows, n);
    }
    check_layer_norm(x + (rows - 1) * n, y + (rows - 1) * n, n, &p);
}

/* Rows that follow each other, each with the bits that it has alone; they are done together up to a length of 1024. */
static void check_rows_together(buffer *from, buffer *to)
{
    static const ptrdiff_t lengths[] = {1,   2,    15,   16,   17,   31,   33,
                                        100, 1008, 1023, 1024, 1025, 1040, 1041};
    static float alone[1041];
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (ptrdiff_t n = lengths[k], rows = 1; rows <= MAX_ROWS; rows++) {
            size_t bytes = (size_t)(rows * n) * sizeof(float);
            float *x = buffer_place(from, bytes, 0), *y = buffer_place(to, bytes, 4);
            for (ptrdiff_t i = 0; i < rows * n; i++)
                x[i] = (float)(int32_t)random_bits() * 0x1p-28f;
            pqc.softmax_f32(x, y, rows, n);
            for (ptrdiff_t r = 0; r < rows; r++) {
                pqc.softmax_f32(x + r * n, alone, 1, n);
                CHECK(memcmp(y + r * n, alone, (size_t)n * sizeof *y) == 0,
                      "row %td of %td rows of %td", r, rows, n);
            }
            check_softmax(x + (rows - 1) * n, y + (rows - 1) * n, n);
            check_norms_together(x, y, rows, n);
            CHECK(buffer_guards_intact(to), "%td rows of %td", rows, n);
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
        pqc.layer_norm_f32(x, y, 1, n, &p);
        check_layer_norm(x, y, n, &p);
        CHECK(buffer_guards_intact(&to), "n = %td", n);
    }
    check_rows_together(&from, &to);
    buffer_close(&from);
    buffer_close(&to);
}
