#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

enum { ROW = 70, MAX_ROWS = 40 };

/* Sums by the definition: one fused multiply-add after the other. */
static void check_gemm(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t k, bool first, bool plus_zero,
                       buffer *buffers)
{
    float *a = buffer_place(&buffers[0], (size_t)(rows * k) * 4, 0);
    float *b = buffer_place(&buffers[1], (size_t)(k * PQC_GEMM_NR) * 4, 0);
    float *y = buffer_place(&buffers[2], (size_t)((rows - 1) * ROW + n) * 4, 0);
    float before[MAX_ROWS * ROW], start[PQC_GEMM_NR];
    fill_within_f32(start, PQC_GEMM_NR, 1.0f);
    fill_within_f32(a, rows * k, 1.0f);
    fill_within_f32(b, k * PQC_GEMM_NR, 1.0f);
    fill_within_f32(y, (rows - 1) * ROW + n, 1.0f);
    for (ptrdiff_t i = 0; i < (rows - 1) * ROW + n; i++)
        before[i] = y[i];
    for (ptrdiff_t i = 0; i < PQC_GEMM_NR; i += 3)
        start[i] = before[i * ROW % n] = y[i * ROW % n] = -0.0f;
    pqc.gemm_f32(&(pqc_gemm){a, b, first ? start : NULL, y, rows, n, k, k, ROW, plus_zero});
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < ROW && i * ROW + j < (rows - 1) * ROW + n; j++) {
            float acc = first && j < n ? start[j] : before[i * ROW + j];
            for (ptrdiff_t l = 0; l < k && j < n; l++)
                acc = fmaf(a[i * k + l], b[l * PQC_GEMM_NR + j], acc);
            acc = plus_zero && j < n ? acc + 0.0f : acc;
            CHECK(same_f32(y[i * ROW + j], acc), "%td x %td, %td: %a, not %a", rows, n, k,
                  (double)y[i * ROW + j], (double)acc);
        }
    CHECK(buffer_guards_intact(&buffers[2]), "%td x %td", rows, n);
}

void test_gemm_f32(void)
{
    buffer buffers[3];
    for (int i = 0; i < 3; i++)
        buffer_open(&buffers[i]);
    for (ptrdiff_t n = 1; n <= PQC_GEMM_NR; n += n < 18 ? 1 : 5)
        for (ptrdiff_t rows = 1; rows <= MAX_ROWS; rows += rows < 14 ? 3 : 13)
            check_gemm(rows, n, (n * 7 + rows) % 20, (n + rows) % 2, n % 3 == 0, buffers);
    for (int i = 0; i < 3; i++)
        buffer_close(&buffers[i]);
}
