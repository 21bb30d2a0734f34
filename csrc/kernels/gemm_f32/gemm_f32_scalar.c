/* Products of float32 rows with a packed panel, summed in a fixed order, in plain C; see gemm_f32.h. */
#include "gemm_f32.h"

#include <math.h>

void pqc_gemm_f32_scalar(const pqc_gemm *g)
{
    for (ptrdiff_t i = 0; i < g->rows; i++)
        for (ptrdiff_t j = 0; j < g->n; j++) {
            float acc = g->start ? g->start[j] : g->y[i * g->y_row + j];
            for (ptrdiff_t l = 0; l < g->k; l++)
                acc = fmaf(g->a[i * g->a_row + l], g->b[l * PQC_GEMM_NR + j], acc);
            g->y[i * g->y_row + j] = g->plus_zero ? acc + 0.0f : acc;
        }
}
