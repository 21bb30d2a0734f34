#include "rows_f32_scalar.h"

#if PQC_X86

#include "elementary/elementary_avx512.h"

enum { ROWS = 4, MAX_TOGETHER = 1024 }; /* of rows that stay in L1 side by side */

/* Lane i + 8 to lane i, and so on by halves. */
AVX512 static inline float sum_of_16(__m512 lanes)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* 16 numbers of each row, masked by `some`. */
AVX512 PQC_INLINE void maxima16(const float *x, ptrdiff_t n, __mmask16 some, __m512 *top)
{
    PQC_UNROLL(4)
    for (int r = 0; r < ROWS; r++)
        top[r] = _mm512_mask_max_ps(top[r], some, _mm512_maskz_loadu_ps(some, x + r * n), top[r]);
}

AVX512 PQC_INLINE void powers16(const float *x, float *y, ptrdiff_t n, __mmask16 some,
                                const __m512 *top, __m512 *lanes)
{
    PQC_UNROLL(4)
    for (int r = 0; r < ROWS; r++) {
        __m512 e = exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(some, x + r * n), top[r]));
        _mm512_mask_storeu_ps(y + r * n, some, e);
        lanes[r] = _mm512_mask_add_ps(lanes[r], some, lanes[r], e);
    }
}

AVX512 PQC_INLINE void scaled16(float *y, ptrdiff_t n, __mmask16 some, const __m512 *factor)
{
    PQC_UNROLL(4)
    for (int r = 0; r < ROWS; r++) {
        __m512 e = _mm512_maskz_loadu_ps(some, y + r * n);
        _mm512_mask_storeu_ps(y + r * n, some, _mm512_mul_ps(e, factor[r]));
    }
}

/* ROWS rows side by side: their sums and maxima are waited for together.  Masks of whole vectors are constants. */
AVX512 static inline void softmax_rows(const float *x, float *y, ptrdiff_t n)
{
    __m512 top[ROWS], lanes[ROWS], factor[ROWS];
    __mmask16 tail = tail16(n % 16);
    ptrdiff_t whole = n - n % 16;
    PQC_UNROLL(4)
    for (int r = 0; r < ROWS; r++) {
        top[r] = _mm512_set1_ps(x[r * n]);
        lanes[r] = _mm512_setzero_ps();
    }
    for (ptrdiff_t i = 0; i < whole; i += 16)
        maxima16(x + i, n, 0xffff, top);
    if (tail)
        maxima16(x + whole, n, tail, top);
    PQC_UNROLL(4)
    for (int r = 0; r < ROWS; r++)
        top[r] = _mm512_set1_ps(_mm512_reduce_max_ps(top[r]));
    for (ptrdiff_t i = 0; i < whole; i += 16)
        powers16(x + i, y + i, n, 0xffff, top, lanes);
    if (tail)
        powers16(x + whole, y + whole, n, tail, top, lanes);
    PQC_UNROLL(4)
    for (int r = 0; r < ROWS; r++)
        factor[r] = _mm512_set1_ps(1.0f / sum_of_16(lanes[r]));
    for (ptrdiff_t i = 0; i < whole; i += 16)
        scaled16(y + i, n, 0xffff, factor);
    if (tail)
        scaled16(y + whole, n, tail, factor);
}

/* The largest of a row: four at a time, as each comparison waits for the one before. */
AVX512 static inline __m512 maximum(const float *x, ptrdiff_t n)
{
    __m512 top[ROWS];
    ptrdiff_t i = 0;
    PQC_UNROLL(4)
    for (int k = 0; k < ROWS; k++)
        top[k] = _mm512_set1_ps(x[0]); /* NaN stays there */
    for (; i + 16 * ROWS <= n; i += 16 * ROWS)
        PQC_UNROLL(4)
    for (int k = 0; k < ROWS; k++)
        top[k] = _mm512_max_ps(_mm512_loadu_ps(x + i + 16 * k), top[k]);
    for (; i < n; i += 16)
        top[0] = _mm512_mask_max_ps(top[0], tail16(n - i),
                                    _mm512_maskz_loadu_ps(tail16(n - i), x + i), top[0]);
    top[0] = _mm512_max_ps(_mm512_max_ps(top[0], top[1]), _mm512_max_ps(top[2], top[3]));
    return _mm512_set1_ps(_mm512_reduce_max_ps(top[0]));
}

/* One row.  Whole vectors need no masks, which would cost as much as the arithmetic. */
AVX512 static inline void softmax_row16(const float *x, float *y, ptrdiff_t n)
{
    __m512 top = maximum(x, n), lanes = _mm512_setzero_ps();
    __mmask16 tail = tail16(n % 16);
    ptrdiff_t whole = n - n % 16;
    for (ptrdiff_t i = 0; i < whole; i += 16) {
        __m512 e = exp16(_mm512_sub_ps(_mm512_loadu_ps(x + i), top));
        _mm512_storeu_ps(y + i, e);
        lanes = _mm512_add_ps(lanes, e);
    }
    __m512 last = exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(tail, x + whole), top));
    __m512 factor = _mm512_set1_ps(1.0f / sum_of_16(_mm512_mask_add_ps(lanes, tail, lanes, last)));
    _mm512_mask_storeu_ps(y + whole, tail, _mm512_mul_ps(last, factor));
    for (ptrdiff_t i = 0; i < whole; i += 16)
        _mm512_storeu_ps(y + i, _mm512_mul_ps(_mm512_loadu_ps(y + i), factor));
}

PQC_TARGET_AVX512 void pqc_softmax_f32_avx512(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n)
{
    for (; rows >= ROWS && n <= MAX_TOGETHER; rows -= ROWS, x += ROWS * n, y += ROWS * n)
        softmax_rows(x, y, n);
    for (; rows > 0; rows--, x += n, y += n)
        softmax_row16(x, y, n);
}

/* 16 sums of doubles. */
typedef struct {
    __m512d low, high;
} lanes16;

AVX512 PQC_INLINE lanes16 add_wide(lanes16 sum, __m512 x)
{
    sum.low = _mm512_add_pd(sum.low, _mm512_cvtps_pd(_mm512_castps512_ps256(x)));
    sum.high = _mm512_add_pd(sum.high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)));
    return sum;
}

AVX512 static inline double mean_of(lanes16 sum, ptrdiff_t n)
{
    __m512d eight = _mm512_add_pd(sum.low, sum.high);
    __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two))) / (double)n;
}

/* 16 numbers of the last pass.  `weight` and `bias` say which of the two exist; every caller passes constants. */
AVX512 PQC_INLINE void scale16(float *y, ptrdiff_t i, __mmask16 some, __m512 factor,
                               const pqc_layer_norm *p, const bool weight, const bool bias)
{
    __m512 c = _mm512_mul_ps(_mm512_maskz_loadu_ps(some, y + i), factor);
    if (weight)
        c = _mm512_mul_ps(c, _mm512_maskz_loadu_ps(some, p->weight + i));
    if (bias)
        c = _mm512_add_ps(c, _mm512_maskz_loadu_ps(some, p->bias + i));
    _mm512_mask_storeu_ps(y + i, some, c);
}

AVX512 PQC_INLINE void scale_row(float *y, ptrdiff_t n, float by, const pqc_layer_norm *p,
                                 const bool weight, const bool bias)
{
    __m512 factor = _mm512_set1_ps(by);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16)
        scale16(y, i, 0xffff, factor, p, weight, bias);
    scale16(y, i, tail16(n - i), factor, p, weight, bias);
}

/* Subtracts the mean from 16 numbers and accumulates their squares. */
AVX512 PQC_INLINE lanes16 centre16(const float *x, float *y, __mmask16 some, __m512 mean,
                                   lanes16 squares)
{
    __m512 c = _mm512_maskz_sub_ps(some, _mm512_maskz_loadu_ps(some, x), mean);
    _mm512_mask_storeu_ps(y, some, c);
    return add_wide(squares, _mm512_mul_ps(c, c));
}

PQC_TARGET_AVX512 void pqc_layer_norm_f32_avx512(const float *x, float *y, ptrdiff_t n,
                                                 const pqc_layer_norm *p)
{
    lanes16 sum = {_mm512_setzero_pd(), _mm512_setzero_pd()}, squares = sum;
    ptrdiff_t whole = n - n % 16;
    __mmask16 tail = tail16(n % 16);
    for (ptrdiff_t i = 0; i < whole; i += 16)
        sum = add_wide(sum, _mm512_loadu_ps(x + i));
    sum = add_wide(sum, _mm512_maskz_loadu_ps(tail, x + whole));
    __m512 mean = _mm512_set1_ps((float)mean_of(sum, n));
    for (ptrdiff_t i = 0; i < whole; i += 16)
        squares = centre16(x + i, y + i, 0xffff, mean, squares);
    squares = centre16(x + whole, y + whole, tail, mean, squares);
    float factor = (float)(1.0 / sqrt(mean_of(squares, n) + p->epsilon));
    if (p->weight && p->bias)
        scale_row(y, n, factor, p, true, true);
    else if (p->weight)
        scale_row(y, n, factor, p, true, false);
    else
        scale_row(y, n, factor, p, false, p->bias != NULL);
}

#endif
