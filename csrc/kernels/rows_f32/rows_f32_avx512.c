#include "rows_f32_scalar.h"

#if PQC_X86

#include "elementary/elementary_avx512.h"

/* Lane i + 8 to lane i, and so on by halves. */
AVX512 static inline float sum_of_16(__m512 lanes)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

AVX512 static inline __m512 maximum16(const float *x, ptrdiff_t n)
{
    __m512 top = _mm512_set1_ps(x[0]);
    for (ptrdiff_t i = 0; i < n; i += 16)
        top = _mm512_mask_max_ps(top, tail16(n - i), _mm512_maskz_loadu_ps(tail16(n - i), x + i),
                                 top);
    return _mm512_set1_ps(_mm512_reduce_max_ps(top));
}

PQC_TARGET_AVX512 void pqc_softmax_f32_avx512(const float *x, float *y, ptrdiff_t n)
{
    __m512 top = maximum16(x, n), lanes = _mm512_setzero_ps();
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 tail = tail16(n - i);
        __m512 e = exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(tail, x + i), top));
        _mm512_mask_storeu_ps(y + i, tail, e);
        lanes = _mm512_mask_add_ps(lanes, tail, lanes, e);
    }
    __m512 factor = _mm512_set1_ps(1.0f / sum_of_16(lanes));
    for (ptrdiff_t i = 0; i < n; i += 16)
        _mm512_mask_storeu_ps(y + i, tail16(n - i),
                              _mm512_mul_ps(_mm512_maskz_loadu_ps(tail16(n - i), y + i), factor));
}

PQC_TARGET_AVX512 void pqc_layer_norm_f32_avx512(const float *x, float *y, ptrdiff_t n,
                                                 const pqc_layer_norm *p)
{
    layer_norm_row(x, y, n, p);
}

#endif
