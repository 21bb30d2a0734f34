/* Products of float32 rows with a packed panel, summed in a fixed order, with AVX-512; see gemm_f32.h. */
#include "gemm_f32.h"

#if PQC_X86
#include "avx512.h"

enum { ROWS = 12 };

/* `rows` and `vectors` are constants after inlining. */
AVX512 PQC_INLINE void multiply(const pqc_gemm *g, ptrdiff_t row, const int rows, const int vectors)
{
    const float *a = g->a + row * g->a_row, *b = g->b;
    float *y = g->y + row * g->y_row;
    __mmask16 tail[2] = {tail16(g->n), tail16(pqc_max(g->n - 16, 0))};
    __m512 acc[ROWS][2];
    PQC_UNROLL(12)
    for (int r = 0; r < rows; r++)
        PQC_UNROLL(2)
    for (int v = 0; v < vectors; v++)
        acc[r][v] = g->start ? _mm512_loadu_ps(g->start + 16 * v)
                             : _mm512_maskz_loadu_ps(tail[v], y + r * g->y_row + 16 * v);
    for (ptrdiff_t l = 0; l < g->k; l++, b += PQC_GEMM_NR) {
        __m512 w[2];
        PQC_UNROLL(2)
        for (int v = 0; v < vectors; v++)
            w[v] = _mm512_loadu_ps(b + 16 * v);
        PQC_UNROLL(12)
        for (int r = 0; r < rows; r++) {
            __m512 x = _mm512_set1_ps(a[r * g->a_row + l]);
            PQC_UNROLL(2)
            for (int v = 0; v < vectors; v++)
                acc[r][v] = _mm512_fmadd_ps(x, w[v], acc[r][v]);
        }
    }
    if (g->plus_zero) {
        PQC_UNROLL(12)
        for (int r = 0; r < rows; r++)
            PQC_UNROLL(2)
        for (int v = 0; v < vectors; v++)
            acc[r][v] = _mm512_add_ps(acc[r][v], _mm512_setzero_ps());
    }
    PQC_UNROLL(12)
    for (int r = 0; r < rows; r++)
        PQC_UNROLL(2)
    for (int v = 0; v < vectors; v++)
        _mm512_mask_storeu_ps(y + r * g->y_row + 16 * v, tail[v], acc[r][v]);
}

AVX512 PQC_INLINE void multiply_all(const pqc_gemm *g, const int vectors)
{
    ptrdiff_t row = 0;
    for (; row + ROWS <= g->rows; row += ROWS)
        multiply(g, row, ROWS, vectors);
    for (; row + 8 <= g->rows; row += 8)
        multiply(g, row, 8, vectors);
    for (; row + 4 <= g->rows; row += 4)
        multiply(g, row, 4, vectors);
    for (; row + 2 <= g->rows; row += 2)
        multiply(g, row, 2, vectors);
    if (row < g->rows)
        multiply(g, row, 1, vectors);
}

AVX512 void pqc_gemm_f32_avx512(const pqc_gemm *g)
{
    if (g->n <= 16)
        multiply_all(g, 1);
    else
        multiply_all(g, 2);
}

#endif
