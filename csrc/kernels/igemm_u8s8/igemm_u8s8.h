/* Products of unsigned bytes (activations, q + zero) with signed bytes (weights), summed exactly in
 * 32 bits.
 *
 *     acc[p][c] = start[c] + sum over j < k, i < 4 of x[pixel[p] + offset[j] + i] * w(j, c)[i]
 *
 * A "pixel" is an output position of a convolution or a row of a matrix: `pixel` says where its
 * bytes begin, `offset` where the four bytes of step j lie from there.  So one kernel does every
 * convolution without im2col, and the matrix.
 *
 *   w      at w + j * step + v * apart the four weights in step j of each of the output channels
 *          16 * v to 16 * v + 15
 *   start  16 * vectors: -zero * (sum of the channel's weights), which takes the zero out
 *   sum    16 * vectors: 128 * (sum of the channel's weights), for ISAs that read x - 128 as a
 *          signed byte
 *   acc    a pixel's channels together: acc[p * 16 * vectors + c]
 *
 * The sum wraps modulo 2^32 on the way: right whenever the true value fits (pqc_gemm_s8_fits).  No
 * step saturates.  k and pixels may be 0.  Same bits from every ISA. */
#ifndef PQC_GEMM_S8_H
#define PQC_GEMM_S8_H

#include "pqc.h"

enum { PQC_LANES = 16, PQC_BLOCK_VECTORS = 4, PQC_BLOCK_CHANNELS = 64 };

typedef struct {
    const uint8_t *x;
    const int32_t *offset;
    ptrdiff_t k;
    const int8_t *w;
    ptrdiff_t step, apart;
    const int32_t *start, *sum;
    int vectors; /* 1 to 4 */
    bool lowest; /* some weight may be -128, whose sign cannot be changed in a byte */
} pqc_gemm_s8_block;

typedef void pqc_gemm_s8_fn(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                            int32_t *acc);

pqc_gemm_s8_fn pqc_gemm_s8_scalar, pqc_gemm_s8_avx2, pqc_gemm_s8_avxvnni, pqc_gemm_s8_vnni,
    pqc_gemm_s8_neon, pqc_gemm_s8_dotprod;

/* Results of `rows` pixels: y[p * stride + c] = fma((float)sum[p][c], scale[c], bias[c]), c < channels <= 16 * vectors. */
typedef struct {
    const float *scale, *bias;
    float *y;
    ptrdiff_t stride;
    int rows, channels;
} pqc_rows;

typedef void pqc_gemm_rows_fn(const pqc_gemm_s8_block *g, const int32_t *pixel, const pqc_rows *to);

pqc_gemm_rows_fn pqc_gemm_rows_vnni;

/* Results of one row of a matrix, y[c] = fma((float)sum[c], (float)(scale * inverse[c]), bias[c]), of all blocks of output
 * channels in one go: what each would take to set out is up to a quarter of its products.
 *
 *   x      4 * k bytes, the steps behind each other
 *   w      blocks of PQC_BLOCK_CHANNELS channels, and one of those that are left, behind each other; in each a step's channels
 *          are beside each other, or where `narrow` those of 16 channels, whose steps are behind each other
 *   start  channels, up to a multiple of 16 */
typedef struct {
    const uint8_t *x;
    ptrdiff_t k;
    const int8_t *w;
    bool narrow;
    const int32_t *start;
    double scale;
    const double *inverse;
    const float *bias; /* NULL: zeros */
    float *y;
    ptrdiff_t channels;
    bool backwards; /* from the last block to the first */
} pqc_gemm_row;

typedef void pqc_gemm_row_fn(const pqc_gemm_row *r);

pqc_gemm_row_fn pqc_gemm_row_vnni;

/* True if no sum of `products` products of |x| <= x_bound by |w| <= w_bound leaves 32 bits. */
static inline bool pqc_gemm_s8_fits(ptrdiff_t products, int x_bound, int w_bound)
{
    return products <= INT32_MAX / ((ptrdiff_t)x_bound * w_bound);
}

#endif
