/* HardSwish to bytes (PQC_SWISH), in half as many operations as its definition.  With r = min(max(x, -3), 3) the
 * result is x * (r + 3) * a + b.  2^16 times that, with the zero point and a half added, is computed as an integer,
 * whose bits above the fraction are the code.  It differs from the definition, which rounds after each operation, by
 * less than `error`, which is added; so the code is certain unless the fraction is below twice that.  Vectors with an
 * uncertain lane, which are rare, are computed by the definition. */
#ifndef PQC_FINISH_NHWC_SWISH_AVX512_H
#define PQC_FINISH_NHWC_SWISH_AVX512_H

#include "finish_nhwc_plain_avx512.h"

typedef struct {
    __m512 three, slope, middle, offset;
    __m512i doubt; /* twice the error, in the low half of each dword */
    const pqc_output *f;
} finish_swish;

/* The factor of r, and three times that, which is exact because its last two bits are zero: at r = -3 nothing is
 * left.  With u = 2^-24, the definition's result has an error of at most 4 u of the product and 2 u of the result;
 * ours has 5 u of the product for the slope, u each for the factor and the sum, and u for the offset.  Beyond `reach`
 * both clamp alike. */
AVX512 static inline finish_swish finish_swish_of(const pqc_output *f)
{
    enum { FRACTION = 1 << 16, UNITS = 256 /* u * FRACTION as a share of one */ };
    const pqc_pixels *to = &f->output[0];
    const double mul = (double)to->mul, factor = f->affine.there ? (double)f->affine.factor : 1,
                 offset = f->affine.there ? mul * (double)f->affine.offset : 0;
    __m512i bits = _mm512_castps_si512(_mm512_set1_ps((float)(factor * mul * FRACTION / 6)));
    bits = _mm512_and_si512(_mm512_add_epi32(bits, _mm512_set1_epi32(2)), _mm512_set1_epi32(~3));
    const double reach = 258 + fabs((double)to->zero), product = reach + fabs(offset);
    const int32_t error = 2 + (int32_t)((11 * product + 6 * reach) / UNITS);
    finish_swish s = {
        .three = _mm512_set1_ps(3),
        .slope = _mm512_castsi512_ps(bits),
        .offset = _mm512_set1_ps((float)((offset + to->zero + 0.5) * FRACTION + (double)error)),
        .doubt = _mm512_set1_epi32(2 * error),
        .f = f};
    s.middle = _mm512_mul_ps(s.three, s.slope);
    return s;
}

/* Numbers beyond 32 bits become INT32_MIN, whose fraction is uncertain. */
FINISH_INLINE __m512i finish_swish16(__m512 x, const finish_swish *s)
{
    enum { LEAST_MAGNITUDE = 2 };
    __m512 r = _mm512_range_ps(x, s->three, LEAST_MAGNITUDE);
    __m512 z = _mm512_fmadd_ps(r, s->slope, s->middle);
    return _mm512_cvtps_epi32(_mm512_fmadd_ps(x, z, s->offset));
}

/* By the definition. */
AVX512 PQC_NOINLINE __m512i finish_swish_settled(__m512 x0, __m512 x1, __m512 x2, __m512 x3,
                                                 const pqc_output *f)
{
    finish_pixels first = {.acc = NULL};
    finish_target to = finish_target_of(&first, f, PQC_U8_CODES);
    __m512 y[4] = {x0, x1, x2, x3};
    finish_plain_hard_swish(y);
    if (f->affine.there)
        finish_affine(y, 4, &f->affine);
    return finish_plain_packed(y, &to);
}

/* Bytes of four vectors, packed lane by lane like those of finish_plain_packed; `to` are those of s->f. */
FINISH_INLINE __m512i finish_swish_packed(const __m512 *x, const finish_swish *s,
                                          const finish_target *to)
{
    const __m512i halves = _mm512_setr_epi32(
        0x30001, 0x70005, 0x230021, 0x270025, 0xb0009, 0xf000d, 0x2b0029, 0x2f002d, 0x130011,
        0x170015, 0x330031, 0x370035, 0x1b0019, 0x1f001d, 0x3b0039, 0x3f003d); /* the high words */
    __m512i c[4];
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++)
        c[i] = finish_swish16(x[i], s);
    __m512i least = _mm512_min_epu16(_mm512_min_epu16(c[0], c[1]), _mm512_min_epu16(c[2], c[3]));
    if (_mm512_cmplt_epu16_mask(least, s->doubt))
        return finish_swish_settled(x[0], x[1], x[2], x[3], s->f);
    __m512i bytes = _mm512_packus_epi16(_mm512_permutex2var_epi16(c[0], halves, c[1]),
                                        _mm512_permutex2var_epi16(c[2], halves, c[3]));
    return finish_within(bytes, to);
}

#endif
