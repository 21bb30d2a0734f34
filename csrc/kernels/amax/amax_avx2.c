/* Largest magnitude (in all, or a running one per element) and minimum of float32, with AVX2; see amax.h. */
#include "amax.h"

#if PQC_X86
#include "avx2.h"
#include "bits.h"

#include <math.h>

AVX2 static inline __m256i magnitude8(const float *x)
{
    __m256i bits = _mm256_loadu_si256((const __m256i *)x);
    return _mm256_and_si256(bits, _mm256_set1_epi32(INT32_MAX));
}

AVX2 static inline uint32_t largest_of_8(__m256i v)
{
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

AVX2 static inline float smallest_of_8(__m256 v)
{
    __m128 m = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_min_ps(m, _mm_movehl_ps(m, m));
    m = _mm_min_ss(m, _mm_shuffle_ps(m, m, 1));
    return _mm_cvtss_f32(m);
}

AVX2 float pqc_amax_f32_avx2(const float *x, ptrdiff_t n)
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    ptrdiff_t i = 0;
    if (n >= PQC_AMAX_LONG) {
        a = magnitude8(x);
        i = pqc_bytes_to(x, 32) / 4;
    }
    for (; i + 32 <= n; i += 32) {
        a = _mm256_max_epu32(a, magnitude8(x + i));
        b = _mm256_max_epu32(b, magnitude8(x + i + 8));
        c = _mm256_max_epu32(c, magnitude8(x + i + 16));
        d = _mm256_max_epu32(d, magnitude8(x + i + 24));
    }
    for (; i + 8 <= n; i += 8)
        a = _mm256_max_epu32(a, magnitude8(x + i));
    a = _mm256_max_epu32(_mm256_max_epu32(a, b), _mm256_max_epu32(c, d));
    uint32_t most = largest_of_8(a), rest = pqc_bits_of(pqc_amax_f32_scalar(x + i, n - i));
    return pqc_float_of(most > rest ? most : rest);
}

AVX2 void pqc_amax_each_f32_avx2(const float *x, float *acc, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i most = _mm256_max_epu32(magnitude8(acc + i), magnitude8(x + i));
        _mm256_storeu_si256((__m256i *)(acc + i), most);
    }
    pqc_amax_each_f32_scalar(x + i, acc + i, n - i);
}

/* vminps may drop a NaN, so each pair of vectors is compared to find them. */
AVX2 float pqc_min_f32_avx2(const float *x, ptrdiff_t n)
{
    __m256 a = _mm256_set1_ps(INFINITY), b = a, c = a, d = a;
    __m256 nan = _mm256_setzero_ps();
    ptrdiff_t i = 0;
    if (n >= PQC_AMAX_LONG) {
        a = _mm256_loadu_ps(x);
        nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
        i = pqc_bytes_to(x, 32) / 4;
    }
    for (; i + 32 <= n; i += 32) {
        __m256 v = _mm256_loadu_ps(x + i), w = _mm256_loadu_ps(x + i + 8);
        a = _mm256_min_ps(a, v);
        b = _mm256_min_ps(b, w);
        nan = _mm256_or_ps(nan, _mm256_cmp_ps(v, w, _CMP_UNORD_Q));
        v = _mm256_loadu_ps(x + i + 16), w = _mm256_loadu_ps(x + i + 24);
        c = _mm256_min_ps(c, v);
        d = _mm256_min_ps(d, w);
        nan = _mm256_or_ps(nan, _mm256_cmp_ps(v, w, _CMP_UNORD_Q));
    }
    a = _mm256_min_ps(_mm256_min_ps(a, b), _mm256_min_ps(c, d));
    float least = smallest_of_8(a), rest = pqc_min_f32_scalar(x + i, n - i);
    if (_mm256_movemask_ps(nan) != 0 || rest != rest)
        return NAN;
    return (least < rest ? least : rest) + 0.0f;
}

#endif
