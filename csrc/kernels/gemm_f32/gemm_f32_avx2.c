/* Products of float32 rows with a packed panel, summed in a fixed order, with AVX2; see gemm_f32.h. */
#include "gemm_f32.h"

#if PQC_X86
#include "avx2.h"

enum { ROWS = 6, WIDTH = 16 };

/* At most WIDTH columns from `first`; `rows` is a constant after inlining. */
AVX2 PQC_INLINE void multiply(const pqc_gemm *g, ptrdiff_t row, ptrdiff_t first, const int rows)
{
    const float *a = g->a + row * g->a_row, *b = g->b + first;
    float *y = g->y + row * g->y_row + first;
    ptrdiff_t left = g->n - first;
    __m256 acc[ROWS][2];
    PQC_UNROLL(6)
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++)
            acc[r][v] = g->start ? _mm256_loadu_ps(g->start + first + 8 * v)
                                 : first_of(y + r * g->y_row + 8 * v, pqc_max(left - 8 * v, 0));
    for (ptrdiff_t l = 0; l < g->k; l++, b += PQC_GEMM_NR) {
        __m256 w[2] = {_mm256_loadu_ps(b), _mm256_loadu_ps(b + 8)};
        PQC_UNROLL(6)
        for (int r = 0; r < rows; r++) {
            __m256 x = _mm256_set1_ps(a[r * g->a_row + l]);
            acc[r][0] = _mm256_fmadd_ps(x, w[0], acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(x, w[1], acc[r][1]);
        }
    }
    if (g->plus_zero) {
        PQC_UNROLL(6)
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < 2; v++)
                acc[r][v] = _mm256_add_ps(acc[r][v], _mm256_setzero_ps());
    }
    PQC_UNROLL(6)
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++)
            if (left > 8 * v)
                store_first(y + r * g->y_row + 8 * v, acc[r][v], left - 8 * v);
}

AVX2 void pqc_gemm_f32_avx2(const pqc_gemm *g)
{
    for (ptrdiff_t first = 0; first < g->n; first += WIDTH) {
        ptrdiff_t row = 0;
        for (; row + ROWS <= g->rows; row += ROWS)
            multiply(g, row, first, ROWS);
        for (; row < g->rows; row++)
            multiply(g, row, first, 1);
    }
}

#endif
