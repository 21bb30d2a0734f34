/* The products of igemm_u8s8 for runs of neighbouring pixels: the lanes of a vector are pixels, so a channel is written as it
 * lies in memory (chw), and depthwise layers waste nothing.
 *
 *     to.y[c * to.channel_stride + p] = finish(sum[p][c])            c < channels <= 64, p < pixels; requantize.h
 *     sum[p][c] = compensation[c] + sum over j < k, i < 4 of at(p, j, i) * w[j * k_stride + 4 * c + i]
 *     at(p, j, i) = x[offset[j] + 4 * p + i]                         c4: dilation == 0
 *                 = x[offset[j] + p * stride + i * dilation]         kw4 (tap-packed)
 *
 * and the same for `rows` rows, each x_row bytes after the other and written y_row floats after it.
 * stride + dilation is at most PQC_KW4_REACH.
 * The four bytes of a kr group are four channels in c4, four taps along a row in kw4.  The sum is exact while it fits into
 * 32 bits.  x may be read 256 bytes past the last byte used; w, compensation and weight_sums for up to 7 channels past the
 * last.  Same bits from every ISA. */
#ifndef PQC_CONV_CHW_U8S8_H
#define PQC_CONV_CHW_U8S8_H

#include "requantize/requantize.h"

enum { PQC_KW4_REACH = 5 };

typedef struct {
    const uint8_t *x;
    const int32_t *offset;
    ptrdiff_t k;
    const int8_t *w;
    ptrdiff_t k_stride;
    const int32_t *compensation, *weight_sums; /* as in igemm_u8s8.h */
    pqc_output_f32 to;                         /* nchw */
    int channels, stride, dilation;
    ptrdiff_t rows, x_row, y_row;
} pqc_conv_chw_params;

typedef void pqc_conv_chw_u8s8_fn(const pqc_conv_chw_params *g, ptrdiff_t pixels);

pqc_conv_chw_u8s8_fn pqc_conv_chw_u8s8_scalar, pqc_conv_chw_u8s8_avx2, pqc_conv_chw_u8s8_avxvnni,
    pqc_conv_chw_u8s8_vnni, pqc_conv_chw_u8s8_neon, pqc_conv_chw_u8s8_dotprod;

/* The block of at most `most` channels that begins at channel `first`. */
static inline pqc_conv_chw_params pqc_conv_chw_part(const pqc_conv_chw_params *g, int first,
                                                    int most)
{
    pqc_conv_chw_params part = *g;
    part.channels = g->channels - first < most ? g->channels - first : most;
    part.w += 4 * first;
    part.compensation += first;
    part.weight_sums += first;
    part.to = pqc_output_f32_from(&g->to, first);
    return part;
}

/* For tap i of pixel p in a group of 4 pixels: the distance of its byte from the group's first byte, at most 15. */
static inline int pqc_kw4_place(const pqc_conv_chw_params *g, int p, int i)
{
    return p * g->stride + i * g->dilation;
}

#endif
