/* The whole output stage on int32 sums, channels last, with AVX2; see finish_nhwc.h. */
#include "finish_nhwc.h"

#if PQC_X86
#include "avx2.h"
#include "requantize/requantize_avx2.h"

#define INLINE AVX2 PQC_INLINE

/* 16 channels of a pixel. */
typedef struct {
    __m256 low, high;
} floats16;

/* In this order of operands NaN stays NaN. */
INLINE floats16 clamp16(floats16 y, float low, float high)
{
    __m256 least = _mm256_set1_ps(low), most = _mm256_set1_ps(high);
    return (floats16){_mm256_min_ps(most, _mm256_max_ps(least, y.low)),
                      _mm256_min_ps(most, _mm256_max_ps(least, y.high))};
}

INLINE __m256 hard_swish8(__m256 y)
{
    __m256 shifted = _mm256_add_ps(y, _mm256_set1_ps(3)), six = _mm256_set1_ps(6);
    shifted = _mm256_min_ps(six, _mm256_max_ps(_mm256_setzero_ps(), shifted));
    return _mm256_div_ps(_mm256_mul_ps(y, shifted), six);
}

INLINE __m256 decoded8(__m256i code, __m256i zero, __m256 div, __m256 reciprocal)
{
    return divide8(_mm256_cvtepi32_ps(_mm256_sub_epi32(code, zero)), div, reciprocal);
}

INLINE floats16 values16(const pqc_pixels *from, const char *at)
{
    if (from->content == PQC_FLOATS) {
        const float *floats = (const float *)(const void *)at;
        return (floats16){_mm256_loadu_ps(floats), _mm256_loadu_ps(floats + 8)};
    }
    __m256i words = from->content == PQC_U8_CODES
                        ? _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at))
                        : load_words(at);
    __m256i zero = _mm256_set1_epi32(from->zero);
    __m256 div = _mm256_set1_ps(from->div), reciprocal = _mm256_set1_ps(1 / from->div);
    __m256i low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(words));
    __m256i high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(words, 1));
    return (floats16){decoded8(low, zero, div, reciprocal), decoded8(high, zero, div, reciprocal)};
}

/* Lanes with the sign bit set were NaN, or are refused by an output. */
typedef struct {
    __m256 nan, negative;
} refused;

INLINE __m256i codes8(__m256 y, const pqc_pixels *to, refused *r)
{
    __m256 v = _mm256_mul_ps(y, _mm256_set1_ps(to->mul));
    r->nan = _mm256_or_ps(r->nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    if (to->refuses_negative)
        r->negative = _mm256_or_ps(r->negative, _mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_LT_OQ));
    v = _mm256_min_ps(_mm256_max_ps(v, _mm256_set1_ps(to->lo)), _mm256_set1_ps(to->hi));
    return _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(to->zero));
}

/* Values rounded to codes and back. */
INLINE floats16 requantized16(floats16 y, const pqc_pixels *between, refused *r)
{
    __m256i zero = _mm256_set1_epi32(between->zero);
    __m256 div = _mm256_set1_ps(between->div), reciprocal = _mm256_set1_ps(1 / between->div);
    return (floats16){decoded8(codes8(y.low, between, r), zero, div, reciprocal),
                      decoded8(codes8(y.high, between, r), zero, div, reciprocal)};
}

INLINE void store16(floats16 y, const pqc_pixels *to, char *at, refused *r)
{
    if (to->content == PQC_FLOATS) {
        _mm256_storeu_ps((float *)(void *)at, y.low);
        _mm256_storeu_ps((float *)(void *)at + 8, y.high);
        return;
    }
    __m256i words = _mm256_permute4x64_epi64(
        _mm256_packs_epi32(codes8(y.low, to, r), codes8(y.high, to, r)), 0xd8);
    if (to->content == PQC_S16_CODES) {
        store_words(at, words);
        return;
    }
    __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)(void *)at, bytes);
}

INLINE __m256 affine8(__m256 y, const pqc_linear_map *a)
{
    y = _mm256_mul_ps(y, _mm256_set1_ps(a->factor));
    return _mm256_add_ps(y, _mm256_set1_ps(a->offset));
}

/* 16 channels of all pixels. */
INLINE void finish_channels(const int32_t *acc, ptrdiff_t ld, int pixels, const pqc_output *f,
                            refused *r)
{
    output8 low = output8_load(f->scale, f->bias), high = output8_load(f->scale + 8, f->bias + 8);
    for (int p = 0; p < pixels; p++, acc += ld) {
        floats16 y = {finish8(load_words(acc), low), finish8(load_words(acc + 8), high)};
        y = clamp16(y, f->low, f->high);
        if (f->hard_swish)
            y = (floats16){hard_swish8(y.low), hard_swish8(y.high)};
        if (f->affine.there)
            y = (floats16){affine8(y.low, &f->affine), affine8(y.high, &f->affine)};
        if (f->between.content != PQC_NOTHING)
            y = requantized16(y, &f->between, r);
        if (f->residual.content != PQC_NOTHING) {
            floats16 other =
                values16(&f->residual, (const char *)f->residual.at + p * f->residual.pixel);
            y = (floats16){_mm256_add_ps(y.low, other.low), _mm256_add_ps(y.high, other.high)};
        }
        y = clamp16(y, f->second_low, f->second_high);
        for (int i = 0; i < f->outputs; i++)
            store16(y, &f->output[i], (char *)f->output[i].at + p * f->output[i].pixel, r);
    }
}

AVX2 unsigned pqc_finish_nhwc_avx2(const int32_t *acc, ptrdiff_t ld, int pixels, int channels,
                                   const pqc_output *f)
{
    refused r = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    int c = 0;
    for (; c + 16 <= channels; c += 16) {
        pqc_output part = pqc_output_from(f, c);
        finish_channels(acc + c, ld, pixels, &part, &r);
    }
    unsigned flags = (_mm256_movemask_ps(r.nan) ? PQC_U8_NAN : 0) |
                     (_mm256_movemask_ps(r.negative) ? PQC_U8_NEGATIVE : 0);
    if (c == channels)
        return flags;
    pqc_output part = pqc_output_from(f, c);
    return flags | pqc_finish_nhwc_scalar(acc + c, ld, pixels, channels - c, &part);
}

#endif
