#include "lines_s8.h"
#include "pqc.h"

#if PQC_X86
#include "columns_avx512.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

INLINE __m512i quads_at(const uint8_t *x, const bool columns, column_spread s)
{
    __m512i bytes = _mm512_loadu_si512(x);
    return columns ? spread_columns(bytes, s) : bytes;
}

INLINE __m512i weights_at(const int8_t *w)
{
    int32_t bytes;
    memcpy(&bytes, w, 4);
    return _mm512_set1_epi32(bytes);
}

/* C channels by V vectors of 16 pixels: at most 24 sums, 3 activations and one weight in 32
 * registers.  C, V and `columns` are constants where this is inlined.  The sums go through memory:
 * with their use in here, GCC would keep them there. */
INLINE void tile(const pqc_lines_s8_block *g, const uint8_t *x, const int C, const int V,
                 const bool columns, column_spread s, int32_t *acc)
{
    __m512i sums[24];
    ptrdiff_t apart = columns ? 16 * g->stride : 64;
    PQC_UNROLL(8)
    for (int c = 0; c < C; c++) {
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            sums[c * V + v] = _mm512_set1_epi32(g->start[c]);
    }
    const int8_t *w = g->w;
    ptrdiff_t w_step = g->w_step;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, w += w_step) {
        const uint8_t *at = x + *offset;
        __m512i quads[4];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            quads[v] = quads_at(at + v * apart, columns, s);
        PQC_UNROLL(8)
        for (int c = 0; c < C; c++) {
            __m512i weights = weights_at(w + 4 * c);
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                sums[c * V + v] = _mm512_dpbusd_epi32(sums[c * V + v], quads[v], weights);
        }
    }
    PQC_UNROLL(24)
    for (int i = 0; i < C * V; i++)
        _mm512_store_si512(acc + 16 * i, sums[i]);
}

INLINE void put(float *y, __mmask16 lanes, const bool stream, __m512 result)
{
    if (stream && lanes == 0xffff && ((uintptr_t)y & 63) == 0)
        _mm512_stream_ps(y, result);
    else
        _mm512_mask_storeu_ps(y, lanes, result);
}

INLINE void store_all(const pqc_lines_s8_block *g, const int32_t *acc, int V, ptrdiff_t pixels,
                      float *y, ptrdiff_t pitch, const bool stream)
{
    ptrdiff_t rest = pixels - 16 * (V - 1);
    __mmask16 last = (__mmask16)(rest >= 16 ? 0xffffu : (1u << rest) - 1u);
    for (int c = 0; c < g->channels; c++, y += pitch) {
        __m512 scale = _mm512_set1_ps(g->scale[c]), bias = _mm512_set1_ps(g->bias[c]);
        for (int v = 0; v < V; v++, acc += 16) {
            __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(acc));
            put(y + 16 * v, v == V - 1 ? last : (__mmask16)0xffff, stream,
                _mm512_fmadd_ps(sum, scale, bias));
        }
    }
}

VNNI static void store(const pqc_lines_s8_block *g, const int32_t *acc, int V, ptrdiff_t pixels,
                       float *y, ptrdiff_t pitch)
{
    if (g->stream)
        store_all(g, acc, V, pixels, y, pitch, true);
    else
        store_all(g, acc, V, pixels, y, pitch, false);
}

/* 3 vectors at a time, then what is left. */
INLINE void line(const pqc_lines_s8_block *g, const uint8_t *x, const int C, const bool columns,
                 column_spread s, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    _Alignas(64) int32_t acc[24 * 16];
    ptrdiff_t step = columns ? g->stride : 4;
    for (; pixels > 32; pixels -= 48, x += 48 * step, y += 48) {
        tile(g, x, C, 3, columns, s, acc);
        store(g, acc, 3, pixels < 48 ? pixels : 48, y, pitch);
    }
    if (pixels > 16) {
        tile(g, x, C, 2, columns, s, acc);
        store(g, acc, 2, pixels, y, pitch);
    } else if (pixels > 0) {
        tile(g, x, C, 1, columns, s, acc);
        store(g, acc, 1, pixels, y, pitch);
    }
}

INLINE void lines(const pqc_lines_s8_block *g, const int C, const bool columns, ptrdiff_t pixels,
                  float *y, ptrdiff_t pitch)
{
    column_spread s = column_spread_of(g->stride, g->dilation);
    for (ptrdiff_t row = 0; row < g->rows; row++)
        line(g, g->x + row * g->x_row, C, columns, s, pixels, y + row * g->y_row, pitch);
}

VNNI static void quads_lines(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                             ptrdiff_t pitch)
{
    if (g->channels > 4)
        lines(g, 8, false, pixels, y, pitch);
    else if (g->channels > 1)
        lines(g, 4, false, pixels, y, pitch);
    else
        lines(g, 1, false, pixels, y, pitch);
}

VNNI static void columns_lines(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                               ptrdiff_t pitch)
{
    if (g->channels > 4)
        lines(g, 8, true, pixels, y, pitch);
    else if (g->channels > 1)
        lines(g, 4, true, pixels, y, pitch);
    else
        lines(g, 1, true, pixels, y, pitch);
}

VNNI void pqc_lines_s8_vnni(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                            ptrdiff_t pitch)
{
    for (int c = 0; c < g->channels; c += 8) {
        pqc_lines_s8_block part = pqc_lines_part(g, c, 8);
        (g->dilation == 0 ? quads_lines : columns_lines)(&part, pixels, y + c * pitch, pitch);
    }
    if (g->stream)
        _mm_sfence();
}

#endif
