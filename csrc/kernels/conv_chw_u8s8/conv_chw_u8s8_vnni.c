#include "conv_chw_u8s8.h"
#include "pqc.h"

#if PQC_X86
#include "kw4_avx512.h"

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

INLINE void put(float *y, __mmask16 lanes, const bool STREAM, __m512 result)
{
    if (STREAM && lanes == 0xffff && ((uintptr_t)y & 63) == 0)
        _mm512_stream_ps(y, result);
    else
        _mm512_mask_storeu_ps(y, lanes, result);
}

/* C channels by V vectors of 16 pixels: at most 24 sums, 3 activations and one weight in 32
 * registers.  C, V, `columns` and STREAM are constants where this is inlined.  `kept` are the lanes of the last vector that
 * are pixels. */
INLINE void tile(const pqc_lines_s8_block *g, const uint8_t *x, const int C, const int V,
                 const bool columns, const bool STREAM, column_spread s, __mmask16 kept, float *y,
                 ptrdiff_t pitch)
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
    /* Else GCC would keep them in memory, because of what follows. */
    PQC_UNROLL(24)
    for (int i = 0; i < C * V; i++)
        PQC_KEEP_IN_REGISTER(sums[i]);
    PQC_UNROLL(8)
    for (int c = 0; c < C; c++) {
        if (c == g->channels)
            break;
        __m512 scale = _mm512_set1_ps(g->scale[c]), bias = _mm512_set1_ps(g->bias[c]);
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            put(y + c * pitch + 16 * v, v == V - 1 ? kept : (__mmask16)0xffff, STREAM,
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[c * V + v]), scale, bias));
    }
}

/* 3 vectors at a time, then what is left. */
INLINE void line(const pqc_lines_s8_block *g, const uint8_t *x, const int C, const bool columns,
                 const bool STREAM, column_spread s, ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    ptrdiff_t step = columns ? g->stride : 4;
    for (; pixels > 32; pixels -= 48, x += 48 * step, y += 48)
        tile(g, x, C, 3, columns, STREAM, s, tail16(pixels - 32), y, pitch);
    if (pixels > 16)
        tile(g, x, C, 2, columns, STREAM, s, tail16(pixels - 16), y, pitch);
    else if (pixels > 0)
        tile(g, x, C, 1, columns, STREAM, s, tail16(pixels), y, pitch);
}

INLINE void lines(const pqc_lines_s8_block *g, const int C, const bool columns, const bool STREAM,
                  ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    column_spread s = column_spread_of(g->stride, g->dilation);
    for (ptrdiff_t row = 0; row < g->rows; row++)
        line(g, g->x + row * g->x_row, C, columns, STREAM, s, pixels, y + row * g->y_row, pitch);
}

INLINE void some_lines(const pqc_lines_s8_block *g, const bool columns, const bool STREAM,
                       ptrdiff_t pixels, float *y, ptrdiff_t pitch)
{
    if (g->channels > 4)
        lines(g, 8, columns, STREAM, pixels, y, pitch);
    else if (g->channels > 1)
        lines(g, 4, columns, STREAM, pixels, y, pitch);
    else
        lines(g, 1, columns, STREAM, pixels, y, pitch);
}

INLINE void any_lines(const pqc_lines_s8_block *g, const bool columns, ptrdiff_t pixels, float *y,
                      ptrdiff_t pitch)
{
    if (g->stream)
        some_lines(g, columns, true, pixels, y, pitch);
    else
        some_lines(g, columns, false, pixels, y, pitch);
}

VNNI static void quads_lines(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                             ptrdiff_t pitch)
{
    any_lines(g, false, pixels, y, pitch);
}

VNNI static void columns_lines(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                               ptrdiff_t pitch)
{
    any_lines(g, true, pixels, y, pitch);
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
