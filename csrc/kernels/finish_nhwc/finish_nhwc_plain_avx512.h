/* The output stage where nothing is clamped or checked (PQC_PLAIN): the codes' bounds are those of saturating packs.
 * Everything the loop needs is kept in local variables, because GCC cannot know that results do not overwrite the
 * parameters. */
#ifndef PQC_FINISH_NHWC_PLAIN_AVX512_H
#define PQC_FINISH_NHWC_PLAIN_AVX512_H

#include "finish_nhwc_avx512.h"

/* Which codes are written, as a bit set; how many pixels ahead to prefetch. */
enum { FINISH_BYTES = 1, FINISH_WORDS = 2, FINISH_AHEAD = 32 };

/* Where the codes of some pixels go, first channel included; `offset`, which may be NULL, is that of finish_pixels. */
typedef struct {
    char *at;
    ptrdiff_t pixel, ahead;
    const ptrdiff_t *offset;
} finish_row;

/* Codes are packed to words and then to bytes: saturated, `zero` added, and clamped to [least, most]. */
typedef struct {
    finish_row row;
    __m512 mul;
    int32_t zero, least, most;
} finish_target;

typedef struct {
    finish_row row;
    __m512 div, reciprocal;
    int32_t zero;
} finish_source;

/* A mask of the channels of a pixel, 16 bits per vector. */
FINISH_INLINE __mmask64 finish_lanes(int channels)
{
    return channels >= 64 ? ~0ull : (1ull << channels) - 1;
}

FINISH_INLINE finish_row finish_row_of(const finish_pixels *pixels, const pqc_pixels *codes,
                                       int number)
{
    ptrdiff_t size = pqc_content_size(codes->content);
    return (finish_row){.at = (char *)codes->at + pixels->channel * size,
                        .pixel = codes->pixel,
                        .ahead = FINISH_AHEAD * codes->pixel,
                        .offset = pixels->offset ? pixels->offset[number] : NULL};
}

FINISH_INLINE char *finish_at(const finish_row *row, const bool INDIRECT, ptrdiff_t pixel)
{
    return row->at + (INDIRECT ? row->offset[pixel] : row->pixel * pixel);
}

/* The same; if the pixels are not contiguous, prefetches the line of a later one. */
FINISH_INLINE char *finish_at_and_fetch(const finish_row *row, const bool INDIRECT, ptrdiff_t pixel)
{
    char *at = finish_at(row, INDIRECT, pixel);
    if (INDIRECT)
        _mm_prefetch(at + row->ahead, _MM_HINT_T1);
    return at;
}

FINISH_INLINE finish_target finish_target_of(const finish_pixels *pixels, const pqc_output *f,
                                             pqc_content content)
{
    int number = f->output[0].content == content ? 0 : 1;
    const pqc_pixels *to = &f->output[number];
    return (finish_target){.row = finish_row_of(pixels, to, 1 + number),
                           .mul = _mm512_set1_ps(to->mul),
                           .zero = to->zero,
                           .least = (int32_t)to->lo + to->zero,
                           .most = (int32_t)to->hi + to->zero};
}

FINISH_INLINE finish_source finish_source_of(const finish_pixels *pixels, const pqc_output *f)
{
    const pqc_pixels *from = &f->residual;
    return (finish_source){.row = finish_row_of(pixels, from, 0),
                           .div = _mm512_set1_ps(from->div),
                           .reciprocal = _mm512_set1_ps(1 / from->div),
                           .zero = from->zero};
}

/* Words of vectors i and i + 1, packed lane by lane, without the zero point. */
FINISH_INLINE __m512i finish_pack_raw(const __m512 *y, int i, __m512 mul)
{
    return _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(y[i], mul)),
                              _mm512_cvtps_epi32(_mm512_mul_ps(y[i + 1], mul)));
}

FINISH_INLINE __m512i finish_pack(const __m512 *y, int i, const finish_target *to)
{
    __m512i words = finish_pack_raw(y, i, to->mul);
    return to->zero ? _mm512_adds_epi16(words, _mm512_set1_epi16((short)to->zero)) : words;
}

FINISH_INLINE void finish_plain_words(const __m512 *y, const int P, const int V, __mmask64 lanes,
                                      const finish_target *to, char *const *at)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    PQC_UNROLL(2)
    for (int i = 0; i < P * V; i += 2) {
        __m512i words = finish_pack(y, i, to);
        if (to->least > INT16_MIN)
            words = _mm512_max_epi16(words, _mm512_set1_epi16((short)to->least));
        if (to->most < INT16_MAX)
            words = _mm512_min_epi16(words, _mm512_set1_epi16((short)to->most));
        words = _mm512_permutexvar_epi64(order, words);
        if (V > 1) {
            _mm512_mask_storeu_epi16(at[i / V] + 32 * (i % V), (__mmask32)(lanes >> 16 * (i % V)),
                                     words);
        } else {
            _mm256_mask_storeu_epi16(at[i], (__mmask16)lanes, _mm512_castsi512_si256(words));
            _mm256_mask_storeu_epi16(at[i + 1], (__mmask16)lanes,
                                     _mm512_extracti64x4_epi64(words, 1));
        }
    }
}

/* Stores bytes, 16 per vector, in the order of pixels and channels. */
FINISH_INLINE void finish_store_plain_bytes(__m512i bytes, const int P, __mmask64 lanes,
                                            char *const *at)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    bytes = _mm512_permutexvar_epi32(order, bytes);
    if (P == 1) {
        _mm512_mask_storeu_epi8(at[0], lanes, bytes);
    } else if (P == 2) {
        _mm256_mask_storeu_epi8(at[0], (__mmask32)lanes, _mm512_castsi512_si256(bytes));
        _mm256_mask_storeu_epi8(at[1], (__mmask32)lanes, _mm512_extracti64x4_epi64(bytes, 1));
    } else {
        _mm_mask_storeu_epi8(at[0], (__mmask16)lanes, _mm512_castsi512_si128(bytes));
        _mm_mask_storeu_epi8(at[1], (__mmask16)lanes, _mm512_extracti32x4_epi32(bytes, 1));
        _mm_mask_storeu_epi8(at[2], (__mmask16)lanes, _mm512_extracti32x4_epi32(bytes, 2));
        _mm_mask_storeu_epi8(at[3], (__mmask16)lanes, _mm512_extracti32x4_epi32(bytes, 3));
    }
}

FINISH_INLINE __m512i finish_within(__m512i bytes, const finish_target *to)
{
    if (to->least > 0)
        bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8((char)to->least));
    if (to->most < UINT8_MAX)
        bytes = _mm512_min_epu8(bytes, _mm512_set1_epi8((char)to->most));
    return bytes;
}

/* Bytes of four vectors, packed lane by lane. */
FINISH_INLINE __m512i finish_plain_packed(const __m512 *y, const finish_target *to)
{
    return finish_within(_mm512_packus_epi16(finish_pack(y, 0, to), finish_pack(y, 2, to)), to);
}

FINISH_INLINE void finish_plain_bytes(const __m512 *y, const int P, __mmask64 lanes,
                                      const finish_target *to, char *const *at)
{
    finish_store_plain_bytes(finish_plain_packed(y, to), P, lanes, at);
}

/* True if packing alone keeps the bytes within their bounds, and there is no zero point. */
FINISH_INLINE bool finish_is_raw(const finish_target *to)
{
    return to->zero == 0 && to->least <= 0 && to->most >= UINT8_MAX;
}

FINISH_INLINE __m512i finish_raw_packed(const __m512 *y, __m512 mul)
{
    return _mm512_packus_epi16(finish_pack_raw(y, 0, mul), finish_pack_raw(y, 2, mul));
}

FINISH_INLINE void finish_raw_bytes(const __m512 *y, const int P, __mmask64 lanes, __m512 mul,
                                    char *const *at)
{
    finish_store_plain_bytes(finish_raw_packed(y, mul), P, lanes, at);
}

FINISH_INLINE void finish_plain_add(__m512 *y, const int P, const int V, const int RESIDUAL,
                                    __mmask64 lanes, const finish_source *from, char *const *at)
{
    ptrdiff_t size = pqc_content_size((pqc_content)RESIDUAL);
    PQC_UNROLL(4)
    for (int i = 0; i < P * V; i++) {
        __m512i code = finish_codes(RESIDUAL, at[i / V] + 16 * (i % V) * size,
                                    (__mmask16)(lanes >> 16 * (i % V)));
        if (from->zero)
            code = _mm512_sub_epi32(code, _mm512_set1_epi32(from->zero));
        y[i] = _mm512_add_ps(y[i], divide16(_mm512_cvtepi32_ps(code), from->div, from->reciprocal));
    }
}

/* The quotient by 6 may be wrong where it is too small to affect a code. */
FINISH_INLINE void finish_plain_hard_swish(__m512 *y)
{
    __m512 six = _mm512_set1_ps(6), sixth = _mm512_set1_ps(1.0f / 6);
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        __m512 shifted = _mm512_add_ps(y[i], _mm512_set1_ps(3));
        shifted = _mm512_min_ps(six, _mm512_max_ps(_mm512_setzero_ps(), shifted));
        y[i] = divide16(_mm512_mul_ps(y[i], shifted), six, sixth);
    }
}

#endif
