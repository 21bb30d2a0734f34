/* Quantised activations as unsigned bytes, the form the integer products read.
 *
 *     byte = clamp(rint(x * mul), lo, hi) + zero     zero is 128 for signed formats, 0 for unsigned
 *
 * The clamped value is the one of int_quant/, bit for bit.  Ties to even, infinities go to the
 * bounds. For row r < rows and i < n:
 *
 *     flat          y[r * y_row + i] from x[r * x_row + i]
 *     c4            y[r * y_row + 4 * i + c] from x[r * x_row + c * channel + i], c < channels <= 4
 *     deinterleaved for a stride of 2: the same at 4 * (i / 2), in y if i is even, in `odd` if not
 *
 * Where there are fewer channels than 4 the byte is `zero`.  Deinterleaved, one pointer may be NULL:
 * those are not wanted, though told of.
 *
 * Any alignment, no overlap; rows and n may be 0.  Returns what a byte cannot carry, an OR of the
 * flags below; such bytes are meaningless.  Same bytes from every ISA, and the same answer to "is
 * there a flag". */
#ifndef PQC_PACK_U8_H
#define PQC_PACK_U8_H

#include "quant_params/quant_params.h"

enum {
    PQC_U8_NAN = 1,      /* some x * mul is NaN */
    PQC_U8_NEGATIVE = 2, /* some x < 0 with zero == 0 */
};

/* bounded: every x is known to be a number within the amax that mul was computed from, and not negative if zero is 0.
 * Bodies then need not check. */
typedef struct {
    float mul, lo, hi;
    int32_t zero;
    bool bounded;
} pqc_u8_quant;

typedef struct {
    const float *x;
    uint8_t *y;
    ptrdiff_t x_row, y_row, rows, n;
    ptrdiff_t channel;
    int channels;
    bool deinterleave;
    uint8_t *odd;
    pqc_u8_quant q;
} pqc_u8_rows;

typedef unsigned pqc_pack_u8_fn(const pqc_u8_rows *r);

pqc_pack_u8_fn pqc_pack_u8_scalar, pqc_pack_u8_avx2, pqc_pack_u8_avx512, pqc_pack_u8_neon;
pqc_pack_u8_fn pqc_pack_u8_c4_scalar, pqc_pack_u8_c4_avx2, pqc_pack_u8_c4_avx512,
    pqc_pack_u8_c4_neon;

/* A quantiser for bytes; the format has at most 8 bits. */
static inline pqc_u8_quant pqc_u8_quant_of(pqc_int_quant q, pqc_int_format format)
{
    return (pqc_u8_quant){
        .mul = q.mul, .lo = q.lo, .hi = q.hi, .zero = format.is_unsigned ? 0 : 128};
}

#endif
