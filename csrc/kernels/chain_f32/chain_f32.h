/* One operation of an elementwise chain, on n floats that lie together.  Each is what NumPy's function of that name computes, but
 * for those of elementary_scalar.h; every operation is rounded once.
 *
 *     ADD SUB MUL DIV                a op b
 *     MAX MIN                        NaN if one is NaN, b if both are zero
 *     PRELU                          a, or a * b where a < 0
 *     IF UNLESS                      a where b is not 0, where it is 0; else the bits of 0
 *     EITHER                         the bits that a or b has
 *     LESS LESS_OR_EQUAL EQUAL       1 where a < b, a <= b, a == b; else 0
 *     ADD_NUMBER MUL_NUMBER ...      the same with `number` for b
 *     AT_LEAST AT_MOST               a, or `number` where a < number, a > number
 *     FROM_NUMBER OVER               number - a, number / a
 *     NAN_NUMBER                     number where a is NaN, else a
 *     LEAKY_RELU                     a where a > 0, else a * number
 *     HARD_SWISH                     a * min(max(a + 3, 0), 6) / 6
 *     ROUND                          to the nearest integer, ties to even
 *     NEG ABS SQRT SIGMOID TANH ERF  of a
 *     GELU                           (erf(a * sqrt(1/2)) + 1) * a * 1/2, each operation rounded
 *     SILU                           a * sigmoid(a)
 *
 * y is neither a nor b; n may be 0.  Same bits from every ISA. */
#ifndef PQC_CHAIN_F32_H
#define PQC_CHAIN_F32_H

#include "pqc.h"

typedef enum {
    PQC_CHAIN_ADD,
    PQC_CHAIN_SUB,
    PQC_CHAIN_MUL,
    PQC_CHAIN_DIV,
    PQC_CHAIN_MAX,
    PQC_CHAIN_MIN,
    PQC_CHAIN_PRELU,
    PQC_CHAIN_IF,
    PQC_CHAIN_UNLESS,
    PQC_CHAIN_EITHER,
    PQC_CHAIN_LESS,
    PQC_CHAIN_LESS_OR_EQUAL,
    PQC_CHAIN_EQUAL,
    PQC_CHAIN_ADD_NUMBER,
    PQC_CHAIN_MUL_NUMBER,
    PQC_CHAIN_DIV_NUMBER,
    PQC_CHAIN_MAX_NUMBER,
    PQC_CHAIN_MIN_NUMBER,
    PQC_CHAIN_AT_LEAST,
    PQC_CHAIN_AT_MOST,
    PQC_CHAIN_FROM_NUMBER,
    PQC_CHAIN_OVER,
    PQC_CHAIN_NAN_NUMBER,
    PQC_CHAIN_LEAKY_RELU,
    PQC_CHAIN_HARD_SWISH,
    PQC_CHAIN_NEG,
    PQC_CHAIN_ABS,
    PQC_CHAIN_SQRT,
    PQC_CHAIN_ROUND,
    PQC_CHAIN_SIGMOID,
    PQC_CHAIN_TANH,
    PQC_CHAIN_SILU,
    PQC_CHAIN_ERF,
    PQC_CHAIN_GELU,
    PQC_CHAIN_KINDS
} pqc_chain_kind;

/* True if an operation reads b. */
static inline bool pqc_chain_has_two(pqc_chain_kind kind)
{
    return kind <= PQC_CHAIN_EQUAL;
}

typedef void pqc_chain_f32_fn(pqc_chain_kind kind, const float *restrict a, const float *restrict b,
                              float number, float *restrict y, ptrdiff_t n);

pqc_chain_f32_fn pqc_chain_f32_scalar, pqc_chain_f32_avx2, pqc_chain_f32_avx512, pqc_chain_f32_neon;

#endif
