#include "pqc.h"

#if PQC_X86
#include "columns_vnni.h"

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
    for (int i = 0; i < (R - 1) * S + KY; i++) {
        PQC_UNROLL(2)
        for (int step = 0; step < XS; step++) {
            __m512i quads = quads_at(x + i * c.pitch + step * c.next, true, c.spread);
            PQC_UNROLL(4)
            for (int r = 0; r < R; r++)
                if (i - r * S >= 0 && i - r * S < KY)
                    sums[r] = _mm512_dpbusd_epi32(
                        sums[r], quads, weights_at(g->w + ((i - r * S) * XS + step) * g->w_step));
        }
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

/* Offsets are those of `rows` rows, evenly apart, with `steps` steps along each. */
static bool is_grid(const pqc_lines_s8_block *g, int kernel_rows, int steps)
{
    if (g->k != kernel_rows * steps)
        return false;
    for (int row = 0; row < kernel_rows; row++)
        for (int step = 0; step < steps; step++)
            if (g->offset[row * steps + step] !=
                g->offset[0] + row * (g->offset[steps] - g->offset[0]) + step * 4 * g->dilation)
                return false;
    return true;
}

bool pqc_lines_depthwise_vnni(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y)
{
    int steps = g->k == 3 ? 1 : 2, kernel_rows = (int)(g->k / steps);
    if (g->channels != 1 || g->dilation == 0 || (g->k != 3 && g->k != 10 && g->k != 14) ||
        !is_grid(g, kernel_rows, steps))
        return false;
    ptrdiff_t pitch = g->offset[steps] - g->offset[0];
    int stride = g->x_row == pitch ? 1 : g->x_row == 2 * pitch ? 2 : 0;
    if (stride == 0)
        return false;
    (kernel_rows == 3 ? plane3 : kernel_rows == 5 ? plane5 : plane7)(g, stride, pixels, y);
    return true;
}

#endif
