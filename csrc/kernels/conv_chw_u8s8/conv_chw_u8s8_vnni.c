/* u8 x s8 convolution rows whose lanes are pixels, to float32 CHW, with AVX-512 VNNI; see conv_chw_u8s8.h. */
#include "conv_chw_u8s8.h"

#if PQC_X86
#include "kw4_avx512.h"
#include "requantize/requantize_avx512.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

INLINE __m512i c4_at(const uint8_t *x, const bool kw4, kw4_spread s)
{
    __m512i bytes = _mm512_loadu_si512(x);
    return kw4 ? spread_kw4(bytes, s) : bytes;
}

INLINE __m512i weights_at(const int8_t *w)
{
    int32_t bytes;
    memcpy(&bytes, w, 4);
    return _mm512_set1_epi32(bytes);
}

INLINE void store(float *y, __mmask16 lanes, const bool STREAM, __m512 result)
{
    if (STREAM && lanes == 0xffff && ((uintptr_t)y & 63) == 0)
        _mm512_stream_ps(y, result);
    else
        _mm512_mask_storeu_ps(y, lanes, result);
}

/* C channels by V vectors of 16 pixels: at most 24 sums, 3 activations and one weight in 32 registers.  C, V, `kw4`
 * and STREAM are constants after inlining.  `kept` masks the pixels in the last vector. */
INLINE void tile(const pqc_conv_chw_params *g, const uint8_t *x, const int C, const int V,
                 const bool kw4, const bool STREAM, kw4_spread s, __mmask16 kept, float *y,
                 ptrdiff_t channel_stride)
{
    __m512i sums[24];
    ptrdiff_t vector_bytes = kw4 ? 16 * g->stride : 64;
    PQC_UNROLL(8)
    for (int c = 0; c < C; c++) {
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            sums[c * V + v] = _mm512_set1_epi32(g->compensation[c]);
    }
    const int8_t *w = g->w;
    ptrdiff_t k_stride = g->k_stride;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, w += k_stride) {
        const uint8_t *at = x + *offset;
        __m512i c4[4];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            c4[v] = c4_at(at + v * vector_bytes, kw4, s);
        PQC_UNROLL(8)
        for (int c = 0; c < C; c++) {
            __m512i weights = weights_at(w + 4 * c);
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                sums[c * V + v] = _mm512_dpbusd_epi32(sums[c * V + v], c4[v], weights);
        }
    }
    /* or GCC spills them, because of what follows */
    PQC_UNROLL(24)
    for (int i = 0; i < C * V; i++)
        PQC_KEEP_IN_REGISTER(sums[i]);
    PQC_UNROLL(8)
    for (int c = 0; c < C; c++) {
        if (c == g->channels)
            break;
        output16 of = output16_of_channel(&g->to, c);
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            store(y + c * channel_stride + 16 * v, v == V - 1 ? kept : (__mmask16)0xffff, STREAM,
                  finish16(sums[c * V + v], of));
    }
}

/* 3 vectors at a time, then the rest. */
INLINE void one_row(const pqc_conv_chw_params *g, const uint8_t *x, const int C, const bool kw4,
                    const bool STREAM, kw4_spread s, ptrdiff_t pixels, float *y,
                    ptrdiff_t channel_stride)
{
    ptrdiff_t pixel_bytes = kw4 ? g->stride : 4;
    for (; pixels > 32; pixels -= 48, x += 48 * pixel_bytes, y += 48)
        tile(g, x, C, 3, kw4, STREAM, s, tail16(pixels - 32), y, channel_stride);
    if (pixels > 16)
        tile(g, x, C, 2, kw4, STREAM, s, tail16(pixels - 16), y, channel_stride);
    else if (pixels > 0)
        tile(g, x, C, 1, kw4, STREAM, s, tail16(pixels), y, channel_stride);
}

INLINE void all_rows(const pqc_conv_chw_params *g, const int C, const bool kw4, const bool STREAM,
                     ptrdiff_t pixels, float *y, ptrdiff_t channel_stride)
{
    kw4_spread s = kw4_spread_of(g->stride, g->dilation);
    for (ptrdiff_t row = 0; row < g->rows; row++)
        one_row(g, g->x + row * g->x_row, C, kw4, STREAM, s, pixels, y + row * g->y_row,
                channel_stride);
}

INLINE void rows_by_channels(const pqc_conv_chw_params *g, const bool kw4, const bool STREAM,
                             ptrdiff_t pixels, float *y, ptrdiff_t channel_stride)
{
    if (g->channels > 4)
        all_rows(g, 8, kw4, STREAM, pixels, y, channel_stride);
    else if (g->channels > 1)
        all_rows(g, 4, kw4, STREAM, pixels, y, channel_stride);
    else
        all_rows(g, 1, kw4, STREAM, pixels, y, channel_stride);
}

INLINE void any_rows(const pqc_conv_chw_params *g, const bool kw4, ptrdiff_t pixels, float *y,
                     ptrdiff_t channel_stride)
{
    if (g->to.stream)
        rows_by_channels(g, kw4, true, pixels, y, channel_stride);
    else
        rows_by_channels(g, kw4, false, pixels, y, channel_stride);
}

VNNI static void c4_rows(const pqc_conv_chw_params *g, ptrdiff_t pixels, float *y,
                         ptrdiff_t channel_stride)
{
    any_rows(g, false, pixels, y, channel_stride);
}

VNNI static void kw4_rows(const pqc_conv_chw_params *g, ptrdiff_t pixels, float *y,
                          ptrdiff_t channel_stride)
{
    any_rows(g, true, pixels, y, channel_stride);
}

VNNI void pqc_conv_chw_u8s8_vnni(const pqc_conv_chw_params *g, ptrdiff_t pixels)
{
    for (int c = 0; c < g->channels; c += 8) {
        pqc_conv_chw_params part = pqc_conv_chw_part(g, c, 8);
        (g->dilation == 0 ? c4_rows : kw4_rows)(&part, pixels, part.to.y, part.to.channel_stride);
    }
    if (g->to.stream)
        _mm_sfence();
}

#endif
