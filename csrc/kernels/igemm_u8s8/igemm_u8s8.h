/* Indirect GEMM: products of unsigned bytes (activations, q + zero point) with signed bytes (weights), summed exactly in
 * 32 bits.
 *
 *     acc[p][c] = compensation[c] + sum over j < k, i < kr of x[pixel[p] + offset[j] + i] * w(j, c)[i]        kr = 4
 *
 * A "pixel" is an output position of a convolution or a row of a matrix: `pixel` says where its bytes begin, `offset` where the
 * four bytes of kr group j lie from there: the indirection of an igemm, in two parts.  So one kernel does every convolution
 * without im2col, and the matrix.
 *
 *   k             number of kr groups
 *   w             a panel of nr = 16 * vectors output channels: at w + j * k_stride + v * panel_stride the four weights of kr
 *                 group j for each of the channels 16 * v to 16 * v + 15
 *   compensation  nr: -zero * (sum of the channel's weights), which takes the zero point out
 *   weight_sums   nr: 128 * (sum of the channel's weights), for ISAs that read x - 128 as a signed byte
 *   acc           a pixel's channels together: acc[p * nr + c]
 *
 * The sum wraps modulo 2^32 on the way: right whenever the true value fits (pqc_igemm_fits).  No instruction saturates.  k and
 * pixels may be 0.  Same bits from every ISA. */
#ifndef PQC_IGEMM_U8S8_H
#define PQC_IGEMM_U8S8_H

#include "requantize/requantize.h"

enum { PQC_LANES = 16, PQC_NR_VECTORS = 4, PQC_NR = 64 };

typedef struct {
    const uint8_t *x;
    const int32_t *offset;
    ptrdiff_t k;
    const int8_t *w;
    ptrdiff_t k_stride, panel_stride;
    const int32_t *compensation, *weight_sums;
    int vectors; /* in [1, 4] */
    /* only 8 channels of the last vector are wanted; the other sums may be anything */
    bool half_last;
    bool has_min_weight; /* some weight may be -128, whose negation does not fit in a byte */
    const int8_t *ahead, *ahead_end; /* the weights read next, which may be prefetched; or NULL */
} pqc_igemm_params;

typedef void pqc_igemm_u8s8_fn(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                               int32_t *acc);

pqc_igemm_u8s8_fn pqc_igemm_u8s8_scalar, pqc_igemm_u8s8_avx2, pqc_igemm_u8s8_avxvnni,
    pqc_igemm_u8s8_vnni, pqc_igemm_u8s8_neon, pqc_igemm_u8s8_dotprod;

/* The same sums through the float32 output stage, nhwc; channels <= nr. */
typedef void pqc_igemm_u8s8_f32_fn(const pqc_igemm_params *g, const int32_t *pixel,
                                   const pqc_output_block *block);

pqc_igemm_u8s8_f32_fn pqc_igemm_u8s8_f32_vnni;

/* Addresses of pixel p in the residual and the outputs: bytes from the `at` of each. */
typedef struct {
    const int32_t *residual, *output[2];
} pqc_code_places;

/* The same sums through the output stage, as codes.  `f` must be PQC_PLAIN (finish_nhwc.h) and have one output, or
 * two: bytes and words.  Panels have their natural width and a panel_stride of 64; 1 <= channels <= nr; pixels may be
 * 0.  weight_sums are not read, so k may cover part of the taps.  Returns false, having done nothing, if there is no
 * body for such codes. */
typedef bool pqc_igemm_u8s8_codes_fn(const pqc_igemm_params *g, const int32_t *pixel,
                                     const pqc_code_places *places, int pixels, int channels,
                                     const pqc_output *f);

pqc_igemm_u8s8_codes_fn pqc_igemm_u8s8_codes_vnni;

/* A vector by a matrix, through the output stage with scales of (float)(scale * inverse[c]): all panels of output channels in one
 * call: per-panel set-up would cost up to a quarter of the multiplies.
 *
 *   x             4 * k bytes, the kr groups one after the other
 *   w             panels of PQC_NR channels, and one of those that are left, one after the other; or, if `narrow`, panels of 16
 *   compensation  channels, up to a multiple of 16 */
typedef struct {
    const uint8_t *x;
    ptrdiff_t k;
    const int8_t *w;
    bool narrow;
    const int32_t *compensation;
    double scale;
    const double *inverse;
    pqc_output_f32 to; /* its scale is ignored; a NULL bias means zeros */
    ptrdiff_t channels;
    bool backwards; /* from the last panel to the first */
} pqc_gemv_params;

typedef void pqc_gemv_u8s8_fn(const pqc_gemv_params *r);

pqc_gemv_u8s8_fn pqc_igemm_u8s8_gemv_vnni;

/* True if no sum of `products` products of |x| <= x_bound and |w| <= w_bound overflows 32 bits. */
static inline bool pqc_igemm_fits(ptrdiff_t products, int x_bound, int w_bound)
{
    return products <= INT32_MAX / ((ptrdiff_t)x_bound * w_bound);
}

#endif
