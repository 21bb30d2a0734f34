/* The products of gemm_s8 for runs of neighbouring pixels: the lanes of a vector are pixels, so a
 * channel is written as it lies in memory, and depthwise layers waste nothing.
 *
 *     y[c * pitch + p] = fma((float)sum[p][c], scale[c], bias[c])    c < channels <= 64, p < pixels
 *     sum[p][c] = start[c] + sum over j < k, i < 4 of at(p, j, i) * w[j * w_step + 4 * c + i]
 *     at(p, j, i) = x[offset[j] + 4 * p + i]                         quads: dilation == 0
 *                 = x[offset[j] + p * stride + i * dilation]         columns
 *
 * and the same for `rows` rows, each x_row bytes after the other and written y_row floats after it.
 * stride + dilation is at most PQC_COLUMNS_REACH.
 * In columns the four bytes of a step are four taps along a row, in quads four channels.  The sum
 * is exact while it fits into 32 bits.  x may be read 256 bytes past the last byte used; w, start
 * and sum for up to 7 channels past the last.  Same bits from every ISA. */
#ifndef PQC_LINES_S8_H
#define PQC_LINES_S8_H

#include "pqc.h"

enum { PQC_COLUMNS_REACH = 5 };

typedef struct {
    const uint8_t *x;
    const int32_t *offset;
    ptrdiff_t k;
    const int8_t *w;
    ptrdiff_t w_step;
    const int32_t *start, *sum; /* sum: as in igemm_u8s8.h */
    const float *scale, *bias;
    int channels, stride, dilation;
    ptrdiff_t rows, x_row, y_row;
    bool stream; /* y is not wanted in the caches: bodies may write around them */
} pqc_lines_s8_block;

typedef void pqc_lines_s8_fn(const pqc_lines_s8_block *g, ptrdiff_t pixels, float *y,
                             ptrdiff_t pitch);

pqc_lines_s8_fn pqc_lines_s8_scalar, pqc_lines_s8_avx2, pqc_lines_s8_avxvnni, pqc_lines_s8_vnni,
    pqc_lines_s8_neon, pqc_lines_s8_dotprod;

/* The block of `most` channels, or what is left, from channel `first` on. */
static inline pqc_lines_s8_block pqc_lines_part(const pqc_lines_s8_block *g, int first, int most)
{
    pqc_lines_s8_block part = *g;
    part.channels = g->channels - first < most ? g->channels - first : most;
    part.w += 4 * first;
    part.start += first;
    part.sum += first;
    part.scale += first;
    part.bias += first;
    return part;
}

/* In a group of 4 pixels, the place of the byte for tap i of pixel p from the group's first byte;
 * at most 15. */
static inline int pqc_column_place(const pqc_lines_s8_block *g, int p, int i)
{
    return p * g->stride + i * g->dilation;
}

#endif
