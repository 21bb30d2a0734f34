/* The output stage (finish_nhwc.h) with AVX-512: up to four vectors of 16 sums at a time, of one pixel or of several,
 * so that their codes fill whole vectors. */
#ifndef PQC_FINISH_NHWC_AVX512_H
#define PQC_FINISH_NHWC_AVX512_H

#include "avx512.h"
#include "finish_nhwc.h"
#include "requantize/requantize_avx512.h"

#include <math.h>

#define FINISH_INLINE AVX512 PQC_INLINE

/* Scale and bias of up to four vectors of channels, `lanes` masking the last one; and 1 / div of the residual. */
typedef struct {
    output16 of[4];
    __m512 reciprocal;
    __mmask16 lanes;
} finish_channels;

/* Lanes with values that an output cannot represent. */
typedef struct {
    __mmask16 nan, negative;
} finish_refused;

FINISH_INLINE finish_channels finish_channels_of(const pqc_output *f, const int V, int channels)
{
    finish_channels c;
    c.lanes = tail16(channels - 16 * (V - 1));
    c.reciprocal = _mm512_set1_ps(f->residual.content == PQC_NOTHING ? 0 : 1 / f->residual.div);
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++) {
        __mmask16 lanes = v == V - 1 ? c.lanes : 0xffff;
        c.of[v] = output16_load(f->scale + 16 * v, f->bias + 16 * v, lanes);
    }
    return c;
}

/* With this operand order NaN stays NaN.  An infinite bound costs nothing, because branches are free beside vector
 * code. */
FINISH_INLINE void finish_clamp(__m512 *y, const int N, float low, float high)
{
    if (low > -INFINITY) {
        PQC_UNROLL(4)
        for (int i = 0; i < N; i++)
            y[i] = _mm512_max_ps(_mm512_set1_ps(low), y[i]);
    }
    if (high < INFINITY) {
        PQC_UNROLL(4)
        for (int i = 0; i < N; i++)
            y[i] = _mm512_min_ps(_mm512_set1_ps(high), y[i]);
    }
}

FINISH_INLINE __m512 finish_hard_swish(__m512 y)
{
    __m512 six = _mm512_set1_ps(6), shifted = _mm512_add_ps(y, _mm512_set1_ps(3));
    shifted = _mm512_min_ps(six, _mm512_max_ps(_mm512_setzero_ps(), shifted));
    return _mm512_div_ps(_mm512_mul_ps(y, shifted), six);
}

FINISH_INLINE void finish_affine(__m512 *y, const int N, const pqc_linear_map *a)
{
    PQC_UNROLL(4)
    for (int i = 0; i < N; i++)
        y[i] = _mm512_add_ps(_mm512_mul_ps(y[i], _mm512_set1_ps(a->factor)),
                             _mm512_set1_ps(a->offset));
}

/* N vectors rounded to codes and back; with this operand order NaN becomes `lo`. */
FINISH_INLINE void finish_requantize(__m512 *y, const int N, const pqc_pixels *between)
{
    __m512 mul = _mm512_set1_ps(between->mul), div = _mm512_set1_ps(between->div);
    __m512 lo = _mm512_set1_ps(between->lo), hi = _mm512_set1_ps(between->hi);
    __m512 reciprocal = _mm512_set1_ps(1 / between->div);
    PQC_UNROLL(4)
    for (int i = 0; i < N; i++) {
        __m512 code = _mm512_min_ps(_mm512_max_ps(_mm512_mul_ps(y[i], mul), lo), hi);
        y[i] = divide16(_mm512_cvtepi32_ps(_mm512_cvtps_epi32(code)), div, reciprocal);
    }
}

/* 16 codes, masked by `lanes`. */
FINISH_INLINE __m512i finish_codes(const int CONTENT, const char *at, __mmask16 lanes)
{
    return CONTENT == PQC_U8_CODES ? _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, at))
                                   : _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(lanes, at));
}

/* 16 values of `from`, whose content is CONTENT. */
FINISH_INLINE __m512 finish_values(const pqc_pixels *from, const int CONTENT, const char *at,
                                   __mmask16 lanes, __m512 reciprocal)
{
    if (CONTENT == PQC_FLOATS)
        return _mm512_maskz_loadu_ps(lanes, at);
    __m512i code = finish_codes(CONTENT, at, lanes);
    if (from->zero)
        code = _mm512_sub_epi32(code, _mm512_set1_epi32(from->zero));
    return divide16(_mm512_cvtepi32_ps(code), _mm512_set1_ps(from->div), reciprocal);
}

FINISH_INLINE void finish_store_floats(const __m512 *y, const int V, __mmask16 last, char *at)
{
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++)
        _mm512_mask_storeu_ps(at + 64 * v, v == V - 1 ? last : 0xffff, y[v]);
}

/* Stores V vectors of a pixel as words.  Two vectors are packed lane by lane and then put in order.  Where `lo` is
 * INT16_MIN and there is no zero point, saturation replaces the clamp. */
FINISH_INLINE void finish_store_words(const __m512 *y, const int V, __mmask16 last,
                                      const pqc_pixels *to, char *at)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i codes[4];
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++) {
        __m512 code = _mm512_mul_ps(y[v], _mm512_set1_ps(to->mul));
        if (to->lo > INT16_MIN || to->zero)
            code = _mm512_max_ps(code, _mm512_set1_ps(to->lo));
        code = _mm512_min_ps(code, _mm512_set1_ps(to->hi));
        codes[v] = _mm512_cvtps_epi32(code);
        if (to->zero)
            codes[v] = _mm512_add_epi32(codes[v], _mm512_set1_epi32(to->zero));
    }
    PQC_UNROLL(2)
    for (int v = 0; v + 1 < V; v += 2) {
        __mmask32 lanes = (__mmask32)(v + 2 == V ? last : 0xffff) << 16 | 0xffff;
        _mm512_mask_storeu_epi16(
            at + 32 * v, lanes,
            _mm512_permutexvar_epi64(order, _mm512_packs_epi32(codes[v], codes[v + 1])));
    }
    if (V % 2)
        _mm256_mask_storeu_epi16(at + 32 * (V - 1), last, _mm512_cvtsepi32_epi16(codes[V - 1]));
}

/* N vectors as bytes, 16 per vector.  Instead of a clamp to `lo`, saturation brings smaller codes to 0 and a maximum
 * then raises them to lo + zero. */
FINISH_INLINE __m512i finish_bytes(const __m512 *y, const int N, const pqc_pixels *to)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512 mul = _mm512_set1_ps(to->mul), hi = _mm512_set1_ps(to->hi);
    int32_t least = (int32_t)to->lo + to->zero;
    __m512i codes[4], words[2];
    PQC_UNROLL(4)
    for (int i = 0; i < N; i++)
        codes[i] = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_mul_ps(y[i], mul), hi));
    PQC_UNROLL(2)
    for (int i = 0; i < N; i += 2) {
        words[i / 2] = _mm512_packs_epi32(codes[i], codes[i + 1 < N ? i + 1 : i]);
        if (to->zero)
            words[i / 2] = _mm512_adds_epi16(words[i / 2], _mm512_set1_epi16((short)to->zero));
    }
    __m512i bytes = _mm512_packus_epi16(words[0], words[N > 2]);
    if (least > 0)
        bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8((char)least));
    return _mm512_permutexvar_epi32(order, bytes);
}

/* Stores the bytes of P pixels of V vectors each; P > 1 have all lanes. */
FINISH_INLINE void finish_store_bytes(__m512i bytes, const int P, const int V, __mmask16 last,
                                      char *const *at)
{
    if (P == 1 && V == 1) {
        _mm_mask_storeu_epi8(at[0], last, _mm512_castsi512_si128(bytes));
    } else if (P == 1) {
        __mmask64 lanes = ((1ull << 16 * (V - 1)) - 1) | (__mmask64)last << 16 * (V - 1);
        _mm512_mask_storeu_epi8(at[0], lanes, bytes);
    } else if (P == 2) {
        _mm256_storeu_si256((__m256i *)(void *)at[0], _mm512_castsi512_si256(bytes));
        _mm256_storeu_si256((__m256i *)(void *)at[1], _mm512_extracti64x4_epi64(bytes, 1));
    } else {
        _mm_storeu_si128((__m128i *)(void *)at[0], _mm512_castsi512_si128(bytes));
        _mm_storeu_si128((__m128i *)(void *)at[1], _mm512_extracti32x4_epi32(bytes, 1));
        _mm_storeu_si128((__m128i *)(void *)at[2], _mm512_extracti32x4_epi32(bytes, 2));
        _mm_storeu_si128((__m128i *)(void *)at[3], _mm512_extracti32x4_epi32(bytes, 3));
    }
}

/* Collects the lanes that an output refuses, unless it is known that there are none. */
FINISH_INLINE void finish_check(const __m512 *y, const int N, const int V, __mmask16 last,
                                unsigned known, const pqc_pixels *to, finish_refused *r)
{
    bool negative = to->refuses_negative && !(known & PQC_NEVER_NEGATIVE);
    if (to->content == PQC_FLOATS || (known & PQC_NEVER_NAN && !negative))
        return;
    PQC_UNROLL(4)
    for (int i = 0; i < N; i++) {
        __mmask16 lanes = i % V == V - 1 ? last : 0xffff;
        __m512 scaled = _mm512_mul_ps(y[i], _mm512_set1_ps(to->mul));
        r->nan |= _mm512_mask_cmp_ps_mask(lanes, scaled, scaled, _CMP_UNORD_Q);
        if (negative)
            r->negative |= _mm512_mask_cmp_ps_mask(lanes, y[i], _mm512_setzero_ps(), _CMP_LT_OQ);
    }
}

/* Selects pixels: the sums of pixel p are at acc + ld * row[p], or at ld * p without rows; its residual is
 * offset[0][p] bytes from that `at`, output i offset[1 + i][p] bytes from its own.  Without offsets pixels are as far
 * apart as `pixel` says.  All begin at `channel`. */
typedef struct {
    const int32_t *acc;
    ptrdiff_t ld;
    const uint8_t *row;
    const ptrdiff_t *const *offset;
    ptrdiff_t channel;
} finish_pixels;

FINISH_INLINE const int32_t *finish_sums(const finish_pixels *pixels, ptrdiff_t p)
{
    return pixels->acc + pixels->ld * (pixels->row ? pixels->row[p] : p);
}

/* The address of pixel p; `number` is 0 for the residual, 1 + i for output i. */
FINISH_INLINE char *finish_place(const finish_pixels *pixels, const pqc_pixels *codes,
                                 const int CONTENT, int number, ptrdiff_t p)
{
    ptrdiff_t at = pixels->offset ? pixels->offset[number][p] : p * codes->pixel;
    return (char *)codes->at + at + pixels->channel * pqc_content_size((pqc_content)CONTENT);
}

FINISH_INLINE void finish_store(const __m512 *y, const int P, const int V, __mmask16 last,
                                const finish_pixels *pixels, const pqc_pixels *to,
                                const int CONTENT, int number, ptrdiff_t pixel)
{
    char *at[4];
    PQC_UNROLL(4)
    for (int p = 0; p < P; p++)
        at[p] = finish_place(pixels, to, CONTENT, number, pixel + p);
    if (CONTENT == PQC_U8_CODES) {
        finish_store_bytes(finish_bytes(y, P * V, to), P, V, last, at);
        return;
    }
    PQC_UNROLL(4)
    for (int p = 0; p < P; p++)
        if (CONTENT == PQC_FLOATS)
            finish_store_floats(y + p * V, V, last, at[p]);
        else
            finish_store_words(y + p * V, V, last, to, at[p]);
}

/* Adds the residual. */
FINISH_INLINE void finish_add(__m512 *y, const int P, const int V, const finish_channels *c,
                              const finish_pixels *pixels, const pqc_pixels *from,
                              const int CONTENT, ptrdiff_t pixel)
{
    ptrdiff_t size = pqc_content_size((pqc_content)CONTENT);
    PQC_UNROLL(4)
    for (int p = 0; p < P; p++) {
        const char *at = finish_place(pixels, from, CONTENT, 0, pixel + p);
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++) {
            __mmask16 lanes = v == V - 1 ? c->lanes : 0xffff;
            __m512 other = finish_values(from, CONTENT, at + 16 * v * size, lanes, c->reciprocal);
            y[p * V + v] = _mm512_add_ps(y[p * V + v], other);
        }
    }
}

FINISH_INLINE void finish_fma(__m512 *y, const int P, const int V, const finish_pixels *pixels,
                              const finish_channels *c, ptrdiff_t pixel)
{
    PQC_UNROLL(4)
    for (int p = 0; p < P; p++) {
        const int32_t *acc = finish_sums(pixels, pixel + p);
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            y[p * V + v] = finish16(_mm512_loadu_si512(acc + 16 * v), c->of[v]);
    }
}

/* P pixels from `pixel`, of V vectors each; P * V <= 4, and both are constants after inlining. */
FINISH_INLINE void finish_any(const finish_pixels *pixels, ptrdiff_t pixel, const int P,
                              const int V, const finish_channels *c, const pqc_output *f,
                              finish_refused *r)
{
    __m512 y[4];
    finish_fma(y, P, V, pixels, c, pixel);
    if (!(f->known & PQC_NO_FIRST_CLAMP))
        finish_clamp(y, P * V, f->low, f->high);
    if (f->hard_swish) {
        PQC_UNROLL(4)
        for (int i = 0; i < P * V; i++)
            y[i] = finish_hard_swish(y[i]);
    }
    if (f->affine.there)
        finish_affine(y, P * V, &f->affine);
    if (f->between.content != PQC_NOTHING) {
        finish_check(y, P * V, V, c->lanes, f->known, &f->between, r);
        finish_requantize(y, P * V, &f->between);
    }
    if (f->residual.content != PQC_NOTHING)
        finish_add(y, P, V, c, pixels, &f->residual, (int)f->residual.content, pixel);
    if (!(f->known & PQC_NO_SECOND_CLAMP))
        finish_clamp(y, P * V, f->second_low, f->second_high);
    for (int i = 0; i < f->outputs; i++) {
        const pqc_pixels *to = &f->output[i];
        finish_check(y, P * V, V, c->lanes, f->known, to, r);
        finish_store(y, P, V, c->lanes, pixels, to, (int)to->content, 1 + i, pixel);
    }
}

/* Pixels `first` to `stop`. */
FINISH_INLINE void finish_some_way(const finish_pixels *pixels, int first, int stop, const int P,
                                   const int V, int channels, const pqc_output *f,
                                   finish_refused *r)
{
    pqc_output part = *f;
    part.scale += pixels->channel;
    part.bias += pixels->channel;
    finish_channels c = finish_channels_of(&part, V, channels);
    for (; P > 1 && first + P <= stop; first += P)
        finish_any(pixels, first, P, V, &c, f, r);
    for (; first < stop; first++)
        finish_any(pixels, first, 1, V, &c, f, r);
}

/* Any contents and clamps; several pixels at a time only if all lanes exist. */
FINISH_INLINE void finish_general(const finish_pixels *pixels, int first, int stop,
                                  const bool INDIRECT, int channels, const pqc_output *f,
                                  finish_refused *r)
{
    if (!INDIRECT && channels > 48)
        finish_some_way(pixels, first, stop, 1, 4, channels, f, r);
    else if (!INDIRECT && channels > 32)
        finish_some_way(pixels, first, stop, 1, 3, channels, f, r);
    else if (channels == 32)
        finish_some_way(pixels, first, stop, 2, 2, channels, f, r);
    else if (channels > 16)
        finish_some_way(pixels, first, stop, 1, 2, channels, f, r);
    else if (channels == 16)
        finish_some_way(pixels, first, stop, 4, 1, channels, f, r);
    else
        finish_some_way(pixels, first, stop, 1, 1, channels, f, r);
}

FINISH_INLINE unsigned finish_flags(const finish_refused *r)
{
    return (r->nan ? PQC_U8_NAN : 0) | (r->negative ? PQC_U8_NEGATIVE : 0);
}

#endif
