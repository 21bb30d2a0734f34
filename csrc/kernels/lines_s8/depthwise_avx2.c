#include "columns_avx2.h"
#include "depthwise.h"

#if PQC_X86

/* Activations are taken as x - 128, in sign and magnitude, and the sign is given to the weights: vpmaddubsw then gets at
 * most 2 * 128 * 127 and does not saturate, and a vector of 8 pixels needs one sum. */
typedef struct {
    __m256i places, start;
    __m256 scale, bias;
    ptrdiff_t pitch, next; /* bytes between rows, and between the steps along a row */
    const int8_t *w;
    ptrdiff_t w_step;
    int stride;
} common;

INLINE __m256i weights_at(const int8_t *w)
{
    int32_t quad;
    __builtin_memcpy(&quad, w, 4);
    return _mm256_set1_epi32(quad);
}

INLINE __m256i sum_of_4(__m256i magnitude, __m256i value, __m256i weights)
{
    __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(weights, value));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* R output rows of 8 pixels, KY rows of the kernel, S the stride of rows, XS steps along a row: all constants. */
INLINE void tile(const common *c, const uint8_t *x, const int R, const int KY, const int S,
                 const int XS, ptrdiff_t pixels, float *y, ptrdiff_t y_row)
{
    __m256i sums[4];
    PQC_UNROLL(4)
    for (int r = 0; r < R; r++)
        sums[r] = c->start;
    PQC_UNROLL(16)
    for (int i = 0; i < (R - 1) * S + KY; i++)
        PQC_UNROLL(2)
    for (int step = 0; step < XS; step++) {
        __m256i quads = quads_at(x + i * c->pitch + step * c->next, true, c->stride, c->places);
        __m256i value = _mm256_xor_si256(quads, _mm256_set1_epi8((char)0x80));
        __m256i magnitude = _mm256_abs_epi8(value);
        PQC_UNROLL(4)
        for (int r = 0; r < R; r++)
            if (i - r * S >= 0 && i - r * S < KY) {
                __m256i w = weights_at(c->w + ((i - r * S) * XS + step) * c->w_step);
                sums[r] = _mm256_add_epi32(sums[r], sum_of_4(magnitude, value, w));
            }
    }
    PQC_UNROLL(4)
    for (int r = 0; r < R; r++)
        put(y + r * y_row, pixels, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r]), c->scale, c->bias));
}

INLINE void rows(const pqc_lines_s8_block *g, const common *c, const int R, const int KY,
                 const int S, const int XS, ptrdiff_t row, ptrdiff_t pixels, float *y)
{
    const uint8_t *x = g->x + row * g->x_row + g->offset[0];
    for (ptrdiff_t p = 0; p < pixels; p += 8) {
        ptrdiff_t at = vector_begin(p, pixels);
        tile(c, x + at * g->stride, R, KY, S, XS, pixels - at, y + row * g->y_row + at, g->y_row);
    }
}

INLINE void plane(const pqc_lines_s8_block *g, const int KY, const int S, const int XS,
                  ptrdiff_t pitch, ptrdiff_t pixels, float *y)
{
    common c = {places_of(g),
                _mm256_set1_epi32(g->start[0] + g->sum[0]),
                _mm256_set1_ps(g->scale[0]),
                _mm256_set1_ps(g->bias[0]),
                pitch,
                4 * g->dilation,
                g->w,
                g->w_step,
                g->stride};
    ptrdiff_t row = 0;
    for (; row + 4 <= g->rows; row += 4)
        rows(g, &c, 4, KY, S, XS, row, pixels, y);
    for (; row + 2 <= g->rows; row += 2)
        rows(g, &c, 2, KY, S, XS, row, pixels, y);
    for (; row < g->rows; row++)
        rows(g, &c, 1, KY, S, XS, row, pixels, y);
}

AVX2 static void plane3(const pqc_lines_s8_block *g, pqc_depthwise_grid grid, ptrdiff_t pixels,
                        float *y)
{
    if (grid.stride == 1)
        plane(g, 3, 1, 1, grid.pitch, pixels, y);
    else
        plane(g, 3, 2, 1, grid.pitch, pixels, y);
}

AVX2 static void plane5(const pqc_lines_s8_block *g, pqc_depthwise_grid grid, ptrdiff_t pixels,
                        float *y)
{
    if (grid.stride == 1)
        plane(g, 5, 1, 2, grid.pitch, pixels, y);
    else
        plane(g, 5, 2, 2, grid.pitch, pixels, y);
}

AVX2 static void plane7(const pqc_lines_s8_block *g, pqc_depthwise_grid grid, ptrdiff_t pixels,
                        float *y)
{
    if (grid.stride == 1)
        plane(g, 7, 1, 2, grid.pitch, pixels, y);
    else
        plane(g, 7, 2, 2, grid.pitch, pixels, y);
}

bool pqc_depthwise_avx2(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y)
{
    pqc_depthwise_grid grid;
    if (g->lowest || !pqc_depthwise_grid_of(g, &grid))
        return false;
    (grid.kernel_rows == 3 ? plane3 : grid.kernel_rows == 5 ? plane5 : plane7)(g, grid, pixels, y);
    return true;
}

#endif
