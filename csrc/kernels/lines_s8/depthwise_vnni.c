#include "pqc.h"

#if PQC_X86
#include "columns_vnni.h"
#include "depthwise.h"

typedef struct {
    spread spread;
    __m512i start;
    __m512 scale, bias;
    ptrdiff_t pitch, next; /* bytes between rows, and between the steps along a row */
} common;

/* R output rows of 16 pixels, KY rows of the kernel, S the stride of rows, XS steps along a row: all constants. */
INLINE void tile(const pqc_lines_s8_block *g, const uint8_t *x, const int R, const int KY,
                 const int S, const int XS, common c, __mmask16 lanes, float *y)
{
    __m512i sums[4];
    PQC_UNROLL(4)
    for (int r = 0; r < R; r++)
        sums[r] = c.start;
    PQC_UNROLL(16)
    for (int i = 0; i < (R - 1) * S + KY; i++)
        PQC_UNROLL(2)
    for (int step = 0; step < XS; step++) {
        __m512i quads = quads_at(x + i * c.pitch + step * c.next, true, c.spread);
        PQC_UNROLL(4)
        for (int r = 0; r < R; r++)
            if (i - r * S >= 0 && i - r * S < KY)
                sums[r] = _mm512_dpbusd_epi32(
                    sums[r], quads, weights_at(g->w + ((i - r * S) * XS + step) * g->w_step));
    }
    PQC_UNROLL(4)
    for (int r = 0; r < R; r++)
        _mm512_mask_storeu_ps(y + r * g->y_row, lanes,
                              _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), c.scale, c.bias));
}

INLINE void rows(const pqc_lines_s8_block *g, const int R, const int KY, const int S, const int XS,
                 common c, ptrdiff_t row, ptrdiff_t pixels, float *y)
{
    const uint8_t *x = g->x + row * g->x_row + g->offset[0];
    for (ptrdiff_t p = 0; p < pixels; p += 16) {
        __mmask16 lanes = (__mmask16)(pixels - p >= 16 ? 0xffffu : (1u << (pixels - p)) - 1u);
        tile(g, x + p * g->stride, R, KY, S, XS, c, lanes, y + row * g->y_row + p);
    }
}

INLINE void plane(const pqc_lines_s8_block *g, const int KY, const int S, const int XS,
                  ptrdiff_t pixels, float *y)
{
    common c = {spread_of(g),
                _mm512_set1_epi32(g->start[0]),
                _mm512_set1_ps(g->scale[0]),
                _mm512_set1_ps(g->bias[0]),
                g->offset[XS] - g->offset[0],
                4 * g->dilation};
    ptrdiff_t row = 0;
    for (; row + 4 <= g->rows; row += 4)
        rows(g, 4, KY, S, XS, c, row, pixels, y);
    for (; row + 2 <= g->rows; row += 2)
        rows(g, 2, KY, S, XS, c, row, pixels, y);
    for (; row < g->rows; row++)
        rows(g, 1, KY, S, XS, c, row, pixels, y);
}

VNNI static void plane3(const pqc_lines_s8_block *g, int stride, ptrdiff_t pixels, float *y)
{
    if (stride == 1)
        plane(g, 3, 1, 1, pixels, y);
    else
        plane(g, 3, 2, 1, pixels, y);
}

VNNI static void plane5(const pqc_lines_s8_block *g, int stride, ptrdiff_t pixels, float *y)
{
    if (stride == 1)
        plane(g, 5, 1, 2, pixels, y);
    else
        plane(g, 5, 2, 2, pixels, y);
}

VNNI static void plane7(const pqc_lines_s8_block *g, int stride, ptrdiff_t pixels, float *y)
{
    if (stride == 1)
        plane(g, 7, 1, 2, pixels, y);
    else
        plane(g, 7, 2, 2, pixels, y);
}

bool pqc_depthwise_vnni(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y)
{
    pqc_depthwise_grid grid;
    if (!pqc_depthwise_grid_of(g, &grid))
        return false;
    (grid.kernel_rows == 3   ? plane3
     : grid.kernel_rows == 5 ? plane5
                             : plane7)(g, grid.stride, pixels, y);
    return true;
}

#endif
