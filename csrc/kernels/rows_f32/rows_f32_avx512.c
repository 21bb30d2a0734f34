/* Softmax and layer norm of rows of floats with AVX-512, several rows side by side; see rows_f32.h. */
#include "rows_f32_scalar.h"

#if PQC_X86

#include "elementary/elementary_avx512.h"

/* Rows of so many floats go side by side, and stay in L1: eight if they are short, or four. */
enum { ROWS = 8, MAX_OF_EIGHT = 512, MAX_OF_FOUR = 1024 };

/* Lane i + 8 to lane i, and so on by halves. */
AVX512 static inline float sum_of_16(__m512 lanes)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* 16 numbers of each row, masked by `some`. */
AVX512 PQC_INLINE void maxima16(const float *x, ptrdiff_t n, __mmask16 some, __m512 *top,
                                const int R)
{
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++)
        top[r] = _mm512_mask_max_ps(top[r], some, _mm512_maskz_loadu_ps(some, x + r * n), top[r]);
}

AVX512 PQC_INLINE void powers16(const float *x, float *y, ptrdiff_t n, __mmask16 some,
                                const __m512 *top, __m512 *lanes, const int R)
{
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++) {
        __m512 e = exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(some, x + r * n), top[r]));
        _mm512_mask_storeu_ps(y + r * n, some, e);
        lanes[r] = _mm512_mask_add_ps(lanes[r], some, lanes[r], e);
    }
}

AVX512 PQC_INLINE void scaled16(float *y, ptrdiff_t n, __mmask16 some, const __m512 *factor,
                                const int R)
{
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++) {
        __m512 e = _mm512_maskz_loadu_ps(some, y + r * n);
        _mm512_mask_storeu_ps(y + r * n, some, _mm512_mul_ps(e, factor[r]));
    }
}

/* R rows side by side: their sums and maxima are waited for together.  Masks of whole vectors are constants. */
AVX512 PQC_INLINE void softmax_rows(const float *x, float *y, ptrdiff_t n, const int R)
{
    __m512 top[ROWS], lanes[ROWS], factor[ROWS];
    __mmask16 tail = tail16(n % 16);
    ptrdiff_t whole = n - n % 16;
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++) {
        top[r] = _mm512_set1_ps(x[r * n]);
        lanes[r] = _mm512_setzero_ps();
    }
    for (ptrdiff_t i = 0; i < whole; i += 16)
        maxima16(x + i, n, 0xffff, top, R);
    if (tail)
        maxima16(x + whole, n, tail, top, R);
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++)
        top[r] = _mm512_set1_ps(_mm512_reduce_max_ps(top[r]));
    for (ptrdiff_t i = 0; i < whole; i += 16)
        powers16(x + i, y + i, n, 0xffff, top, lanes, R);
    if (tail)
        powers16(x + whole, y + whole, n, tail, top, lanes, R);
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++)
        factor[r] = _mm512_set1_ps(1.0f / sum_of_16(lanes[r]));
    for (ptrdiff_t i = 0; i < whole; i += 16)
        scaled16(y + i, n, 0xffff, factor, R);
    if (tail)
        scaled16(y + whole, n, tail, factor, R);
}

/* The largest of a row: four at a time, as each comparison waits for the one before. */
AVX512 static inline __m512 maximum(const float *x, ptrdiff_t n)
{
    enum { AT_ONCE = 4 };
    __m512 top[AT_ONCE];
    ptrdiff_t i = 0;
    PQC_UNROLL(4)
    for (int k = 0; k < AT_ONCE; k++)
        top[k] = _mm512_set1_ps(x[0]); /* NaN stays there */
    for (; i + 16 * AT_ONCE <= n; i += 16 * AT_ONCE)
        PQC_UNROLL(4)
    for (int k = 0; k < AT_ONCE; k++)
        top[k] = _mm512_max_ps(_mm512_loadu_ps(x + i + 16 * k), top[k]);
    for (; i < n; i += 16)
        top[0] = _mm512_mask_max_ps(top[0], tail16(n - i),
                                    _mm512_maskz_loadu_ps(tail16(n - i), x + i), top[0]);
    top[0] = _mm512_max_ps(_mm512_max_ps(top[0], top[1]), _mm512_max_ps(top[2], top[3]));
    return _mm512_set1_ps(_mm512_reduce_max_ps(top[0]));
}

/* One row.  Whole vectors need no masks, which would cost as much as the arithmetic.  The row that is `next` floats
 * further on is fetched meanwhile. */
AVX512 static inline void softmax_row16(const float *x, float *y, ptrdiff_t n, ptrdiff_t next)
{
    __m512 top = maximum(x, n), lanes = _mm512_setzero_ps();
    __mmask16 tail = tail16(n % 16);
    ptrdiff_t whole = n - n % 16;
    for (ptrdiff_t i = 0; i < whole; i += 16) {
        PQC_FETCH_TO_WRITE(x + next + i);
        PQC_FETCH_TO_WRITE(y + next + i);
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
    for (; rows >= 8 && n <= MAX_OF_EIGHT; rows -= 8, x += 8 * n, y += 8 * n)
        softmax_rows(x, y, n, 8);
    for (; rows >= 4 && n <= MAX_OF_FOUR; rows -= 4, x += 4 * n, y += 4 * n)
        softmax_rows(x, y, n, 4);
    for (; rows > 0; rows--, x += n, y += n)
        softmax_row16(x, y, n, rows > 1 ? n : 0);
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

/* 16 numbers of each of R rows, n apart, to their sums. */
AVX512 PQC_INLINE void sums16(const float *x, ptrdiff_t n, __mmask16 some, lanes16 *sum,
                              const int R)
{
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++)
        sum[r] = add_wide(sum[r], _mm512_maskz_loadu_ps(some, x + r * n));
}

/* Subtracts the means and adds up the squares. */
AVX512 PQC_INLINE void centre16(const float *x, float *y, ptrdiff_t n, __mmask16 some,
                                const __m512 *mean, lanes16 *squares, const int R)
{
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++) {
        __m512 c = _mm512_maskz_sub_ps(some, _mm512_maskz_loadu_ps(some, x + r * n), mean[r]);
        _mm512_mask_storeu_ps(y + r * n, some, c);
        squares[r] = add_wide(squares[r], _mm512_mul_ps(c, c));
    }
}

/* The last pass: of 16 numbers from number i on. */
AVX512 PQC_INLINE void scale16(float *y, ptrdiff_t n, ptrdiff_t i, __mmask16 some,
                               const __m512 *factor, const pqc_layer_norm *p, const bool weight,
                               const bool bias, const int R)
{
    __m512 w = weight ? _mm512_maskz_loadu_ps(some, p->weight + i) : _mm512_setzero_ps();
    __m512 b = bias ? _mm512_maskz_loadu_ps(some, p->bias + i) : _mm512_setzero_ps();
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++) {
        float *at = y + r * n + i;
        __m512 c = _mm512_mul_ps(_mm512_maskz_loadu_ps(some, at), factor[r]);
        if (weight)
            c = _mm512_mul_ps(c, w);
        if (bias)
            c = _mm512_add_ps(c, b);
        _mm512_mask_storeu_ps(at, some, c);
    }
}

AVX512 PQC_INLINE void scale_rows(float *y, ptrdiff_t n, const __m512 *factor,
                                  const pqc_layer_norm *p, const bool weight, const bool bias,
                                  const int R)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16)
        scale16(y, n, i, 0xffff, factor, p, weight, bias, R);
    if (i < n)
        scale16(y, n, i, tail16(n - i), factor, p, weight, bias, R);
}

/* R rows side by side, 1, 4 or 8: their sums are waited for together.  `weight` and `bias` say which of the two exist; all three
 * are constants where this is called. */
AVX512 PQC_INLINE void norm_rows(const float *x, float *y, ptrdiff_t n, const pqc_layer_norm *p,
                                 const bool weight, const bool bias, const int R)
{
    lanes16 sum[ROWS], squares[ROWS];
    __m512 mean[ROWS], factor[ROWS];
    ptrdiff_t whole = n - n % 16;
    __mmask16 tail = tail16(n % 16);
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++)
        sum[r] = squares[r] = (lanes16){_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (ptrdiff_t i = 0; i < whole; i += 16)
        sums16(x + i, n, 0xffff, sum, R);
    if (tail)
        sums16(x + whole, n, tail, sum, R);
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++)
        mean[r] = _mm512_set1_ps((float)mean_of(sum[r], n));
    for (ptrdiff_t i = 0; i < whole; i += 16)
        centre16(x + i, y + i, n, 0xffff, mean, squares, R);
    if (tail)
        centre16(x + whole, y + whole, n, tail, mean, squares, R);
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++)
        factor[r] = _mm512_set1_ps((float)(1.0 / sqrt(mean_of(squares[r], n) + p->epsilon)));
    scale_rows(y, n, factor, p, weight, bias, R);
}

AVX512 PQC_INLINE void norm_all(const float *x, float *y, ptrdiff_t rows, ptrdiff_t n,
                                const pqc_layer_norm *p, const bool weight, const bool bias)
{
    for (; rows >= 8 && n <= MAX_OF_EIGHT; rows -= 8, x += 8 * n, y += 8 * n)
        norm_rows(x, y, n, p, weight, bias, 8);
    for (; rows >= 4 && n <= MAX_OF_FOUR; rows -= 4, x += 4 * n, y += 4 * n)
        norm_rows(x, y, n, p, weight, bias, 4);
    for (; rows > 0; rows--, x += n, y += n)
        norm_rows(x, y, n, p, weight, bias, 1);
}

PQC_TARGET_AVX512 void pqc_layer_norm_f32_avx512(const float *x, float *y, ptrdiff_t rows,
                                                 ptrdiff_t n, const pqc_layer_norm *p)
{
    if (p->weight && p->bias)
        norm_all(x, y, rows, n, p, true, true);
    else if (p->weight)
        norm_all(x, y, rows, n, p, true, false);
    else if (p->bias)
        norm_all(x, y, rows, n, p, false, true);
    else
        norm_all(x, y, rows, n, p, false, false);
}

#endif
