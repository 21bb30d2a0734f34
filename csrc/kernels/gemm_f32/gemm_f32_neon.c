/* Products of float32 rows with a packed panel, summed in a fixed order, with NEON; see gemm_f32.h. */
#include "gemm_f32.h"

#if PQC_ARM
#include <arm_neon.h>
#include <string.h>

enum { ROWS = 6, VECTORS = 4, WIDTH = 4 * VECTORS };

static float32x4_t load_first(const float *x, ptrdiff_t n)
{
    float room[4] = {0};
    memcpy(room, x, (size_t)pqc_clamp(n, 0, 4) * sizeof *x);
    return vld1q_f32(room);
}

static void store_first(float *y, float32x4_t v, ptrdiff_t n)
{
    float room[4];
    vst1q_f32(room, v);
    memcpy(y, room, (size_t)pqc_clamp(n, 0, 4) * sizeof *y);
}

/* At most WIDTH columns from `first`; `rows` is a constant after inlining. */
PQC_INLINE void multiply(const pqc_gemm *g, ptrdiff_t row, ptrdiff_t first, const int rows)
{
    const float *a = g->a + row * g->a_row, *b = g->b + first;
    float *y = g->y + row * g->y_row + first;
    ptrdiff_t left = g->n - first;
    float32x4_t acc[ROWS][VECTORS];
    PQC_UNROLL(6)
    for (int r = 0; r < rows; r++)
        PQC_UNROLL(4)
    for (int v = 0; v < VECTORS; v++)
        acc[r][v] = g->start
                        ? vld1q_f32(g->start + first + 4 * v)
                        : load_first(y + r * g->y_row + (left > 4 * v ? 4 * v : 0), left - 4 * v);
    for (ptrdiff_t l = 0; l < g->k; l++, b += PQC_GEMM_NR) {
        float32x4_t w[VECTORS];
        PQC_UNROLL(4)
        for (int v = 0; v < VECTORS; v++)
            w[v] = vld1q_f32(b + 4 * v);
        PQC_UNROLL(6)
        for (int r = 0; r < rows; r++)
            PQC_UNROLL(4)
        for (int v = 0; v < VECTORS; v++)
            acc[r][v] = vfmaq_n_f32(acc[r][v], w[v], a[r * g->a_row + l]);
    }
    if (g->plus_zero) {
        PQC_UNROLL(6)
        for (int r = 0; r < rows; r++)
            PQC_UNROLL(4)
        for (int v = 0; v < VECTORS; v++)
            acc[r][v] = vaddq_f32(acc[r][v], vdupq_n_f32(0));
    }
    PQC_UNROLL(6)
    for (int r = 0; r < rows; r++)
        PQC_UNROLL(4)
    for (int v = 0; v < VECTORS; v++)
        if (left > 4 * v)
            store_first(y + r * g->y_row + 4 * v, acc[r][v], left - 4 * v);
}

void pqc_gemm_f32_neon(const pqc_gemm *g)
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
