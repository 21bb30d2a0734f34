/* Codes of a program's values to floats and back, n that lie together:
 *
 *     decode    y[i] = (code[i] - zero) / div, correctly rounded; floats as they are
 *     encode    code[i] = clamp(rint(x[i] * mul), lo, hi) + zero; floats as they are
 *
 * Ties to even.  `encode` returns what a code cannot carry, an OR of the flags of pack_u8.h; then the codes are meaningless.  No
 * overlap; div within pqc_reciprocal_is_safe.  Same bits and the same answer from every ISA. */
#ifndef PQC_CODES_F32_H
#define PQC_CODES_F32_H

#include "pack_u8/pack_u8.h"
#include "requantize/requantize.h"

typedef void pqc_decode_f32_fn(const pqc_pixels *form, const void *restrict codes,
                               float *restrict y, ptrdiff_t n);
typedef unsigned pqc_encode_f32_fn(const pqc_pixels *form, const float *restrict x,
                                   void *restrict codes, ptrdiff_t n);

pqc_decode_f32_fn pqc_decode_f32_scalar, pqc_decode_f32_avx2, pqc_decode_f32_avx512;
pqc_encode_f32_fn pqc_encode_f32_scalar, pqc_encode_f32_avx2, pqc_encode_f32_avx512;

#endif
