/* What transforms of Winograd's F(4 x 4, 3 x 3) on integers do with the six elements of a row or column, for vectors of any
 * width; see winograd.h.  Who includes it has defined
 *
 *   INLINE       functions of a target that are inlined
 *   vector, OP   the type of vectors, and their intrinsic of a name */
#ifndef PQC_WINOGRAD_F4_H
#define PQC_WINOGRAD_F4_H

#include "pqc.h"

enum { SIDE = 4, TAPS = 6 };

typedef struct {
    vector at[TAPS];
} six;

/* (d0, ..., d5) B */
INLINE six mixed(const vector d[TAPS])
{
    vector far = OP(sub_epi16)(d[4], OP(slli_epi16)(d[2], 2));
    vector near = OP(sub_epi16)(d[3], OP(slli_epi16)(d[1], 2));
    vector c = OP(sub_epi16)(d[4], d[2]), e = OP(sub_epi16)(d[3], d[1]);
    vector twice = OP(add_epi16)(e, e);
    vector begin = OP(slli_epi16)(OP(sub_epi16)(d[0], d[2]), 2);
    vector end = OP(sub_epi16)(d[5], d[3]);
    return (six){{OP(add_epi16)(begin, c), OP(add_epi16)(far, near), OP(sub_epi16)(far, near),
                  OP(add_epi16)(c, twice), OP(sub_epi16)(c, twice),
                  OP(sub_epi16)(end, OP(add_epi16)(twice, twice))}};
}

typedef struct {
    vector at[SIDE];
} four;

/* (m0, ..., m5) A */
INLINE four scaled(const vector m[TAPS])
{
    vector s = OP(add_epi32)(m[1], m[2]), d = OP(sub_epi32)(m[1], m[2]);
    vector p = OP(add_epi32)(m[3], m[4]), q = OP(sub_epi32)(m[3], m[4]);
    vector four_s = OP(slli_epi32)(s, 2), four_d = OP(slli_epi32)(d, 2);
    vector twice = OP(add_epi32)(q, q);
    vector begin = OP(add_epi32)(OP(slli_epi32)(m[0], 1), OP(slli_epi32)(m[0], 2));
    vector end = OP(add_epi32)(OP(add_epi32)(m[5], m[5]), m[5]);
    end = OP(slli_epi32)(OP(add_epi32)(end, q), 3);
    return (four){{OP(add_epi32)(OP(sub_epi32)(begin, four_s), p), OP(sub_epi32)(twice, four_d),
                   OP(sub_epi32)(OP(slli_epi32)(p, 2), four_s), OP(sub_epi32)(end, four_d)}};
}

/* x is 576 = 9 * 64 times the sum: multiplying by 1 / 9 modulo 2^32 leaves 64 times the sum.  `compensation` times 64. */
INLINE vector divided(vector x, vector compensation)
{
    vector sum = OP(mullo_epi32)(x, OP(set1_epi32)(0x38e38e39));
    return OP(srai_epi32)(OP(add_epi32)(sum, compensation), 6);
}

#endif
