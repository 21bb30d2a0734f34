/* Largest magnitude (in all, or a running one per element) and minimum of float32, with AVX-512; see amax.h. */
#include "amax.h"

#if PQC_X86
#include "avx512.h"
#include "bits.h"

#include <math.h>

AVX512 static inline __m512i magnitude16(const float *x)
{
    return _mm512_and_si512(_mm512_loadu_si512(x), _mm512_set1_epi32(INT32_MAX));
}

AVX512 static inline __m512i masked_magnitude16(__mmask16 lanes, const float *x)
{
    return _mm512_maskz_and_epi32(lanes, _mm512_maskz_loadu_epi32(lanes, x),
                                  _mm512_set1_epi32(INT32_MAX));
}

AVX512 float pqc_amax_f32_avx512(const float *x, ptrdiff_t n)
{
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    ptrdiff_t i = 0;
    if (n >= PQC_AMAX_LONG) {
        a = magnitude16(x);
        i = pqc_bytes_to(x, 64) / 4;
    }
    for (; i + 64 <= n; i += 64) {
        a = _mm512_max_epu32(a, magnitude16(x + i));
        b = _mm512_max_epu32(b, magnitude16(x + i + 16));
        c = _mm512_max_epu32(c, magnitude16(x + i + 32));
        d = _mm512_max_epu32(d, magnitude16(x + i + 48));
    }
    for (; i < n; i += 16)
        a = _mm512_max_epu32(a, masked_magnitude16(tail16(n - i), x + i));
    a = _mm512_max_epu32(_mm512_max_epu32(a, b), _mm512_max_epu32(c, d));
    return pqc_float_of(_mm512_reduce_max_epu32(a));
}

AVX512 void pqc_amax_each_f32_avx512(const float *x, float *acc, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_si512(acc + i, _mm512_max_epu32(magnitude16(acc + i), magnitude16(x + i)));
    if (i < n) {
        __mmask16 lanes = tail16(n - i);
        __m512i most =
            _mm512_max_epu32(masked_magnitude16(lanes, acc + i), masked_magnitude16(lanes, x + i));
        _mm512_mask_storeu_epi32(acc + i, lanes, most);
    }
}

/* vminps may drop a NaN, so each pair of vectors is compared to find them. */
AVX512 float pqc_min_f32_avx512(const float *x, ptrdiff_t n)
{
    __m512 inf = _mm512_set1_ps(INFINITY), a = inf, b = inf, c = inf, d = inf;
    unsigned nan = 0;
    ptrdiff_t i = 0;
    if (n >= PQC_AMAX_LONG) {
        a = _mm512_loadu_ps(x);
        nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
        i = pqc_bytes_to(x, 64) / 4;
    }
    for (; i + 64 <= n; i += 64) {
        __m512 v = _mm512_loadu_ps(x + i), w = _mm512_loadu_ps(x + i + 16);
        a = _mm512_min_ps(a, v);
        b = _mm512_min_ps(b, w);
        nan |= _mm512_cmp_ps_mask(v, w, _CMP_UNORD_Q);
        v = _mm512_loadu_ps(x + i + 32), w = _mm512_loadu_ps(x + i + 48);
        c = _mm512_min_ps(c, v);
        d = _mm512_min_ps(d, w);
        nan |= _mm512_cmp_ps_mask(v, w, _CMP_UNORD_Q);
    }
    for (; i < n; i += 16) {
        __m512 v = _mm512_mask_loadu_ps(inf, tail16(n - i), x + i);
        a = _mm512_min_ps(a, v);
        nan |= _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    }
    a = _mm512_min_ps(_mm512_min_ps(a, b), _mm512_min_ps(c, d));
    return nan ? NAN : _mm512_reduce_min_ps(a) + 0.0f;
}

#endif
