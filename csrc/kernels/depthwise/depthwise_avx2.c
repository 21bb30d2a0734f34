#include "depthwise.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

/* The rows of inputs that a block of output rows needs are quantised first, so that their stores are long done when loads
 * that overlap two of them come; then outputs are made 4 rows by 8 columns at a time.  For a stride of 2 the even columns
 * of a row come first, then the odd ones. */
enum { ROWS = 4, SLACK = 10, ROOM = 8192 };

typedef struct {
    float *row;      /* the first */
    ptrdiff_t pitch; /* floats from a row to the next */
    ptrdiff_t half;  /* and from its even columns to its odd ones */
} rows_of_floats;

/* For the flags: NaN in any lane, and the least value (a NaN may hide one, but is refused itself). */
typedef struct {
    __m256 nan, least;
} seen;

typedef struct {
    __m256 mul, lo, hi;
} constants;

/* max and min in this operand order keep NaN. */
INLINE __m256 quantized(__m256 x, constants c)
{
    __m256 v = _mm256_min_ps(c.hi, _mm256_max_ps(c.lo, _mm256_mul_ps(x, c.mul)));
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE __m256 nan_or(__m256 nan, __m256 v)
{
    return _mm256_or_ps(nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

/* Up to 7 zeros are written past the end. */
INLINE seen quantize_row(const float *x, float *y, ptrdiff_t n, const bool is_unsigned, constants c,
                         seen s)
{
    __m256 nan = s.nan, least = s.least;
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 from0 = _mm256_loadu_ps(x + i), from1 = _mm256_loadu_ps(x + i + 8);
        __m256 v0 = quantized(from0, c), v1 = quantized(from1, c);
        nan = _mm256_or_ps(nan, _mm256_cmp_ps(v0, v1, _CMP_UNORD_Q));
        if (is_unsigned)
            least = _mm256_min_ps(least, _mm256_min_ps(from0, from1));
        _mm256_storeu_ps(y + i, v0);
        _mm256_storeu_ps(y + i + 8, v1);
    }
    for (; i < n; i += 8) {
        __m256 from = n - i >= 8 ? _mm256_loadu_ps(x + i) : first_of(x + i, n - i);
        __m256 v = quantized(from, c);
        nan = nan_or(nan, v);
        least = _mm256_min_ps(least, from);
        _mm256_storeu_ps(y + i, v);
    }
    return (seen){nan, least};
}

INLINE __m256 in_order(__m256 v)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), _MM_SHUFFLE(3, 1, 2, 0)));
}

/* Values 0, 2, 4, ... to `even`, the others to `odd`; up to 8 zeros are written past the ends. */
INLINE seen quantize_apart(const float *x, float *even, float *odd, ptrdiff_t n, constants c,
                           seen s)
{
    __m256 nan = s.nan, least = s.least;
    for (ptrdiff_t i = 0; i < n; i += 16, even += 8, odd += 8) {
        __m256 a = n - i >= 8 ? _mm256_loadu_ps(x + i) : first_of(x + i, n - i);
        __m256 b = n - i >= 16 ? _mm256_loadu_ps(x + i + 8)
                   : n - i > 8 ? first_of(x + i + 8, n - i - 8)
                               : _mm256_setzero_ps();
        least = _mm256_min_ps(least, _mm256_min_ps(a, b));
        a = quantized(a, c);
        b = quantized(b, c);
        nan = nan_or(nan_or(nan, a), b);
        _mm256_storeu_ps(even, in_order(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0))));
        _mm256_storeu_ps(odd, in_order(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1))));
    }
    return (seen){nan, least};
}

/* At least n zeros, and up to 7 more.  Compilers would call memset for `zero` if they knew what it is, which takes longer
 * than these few vectors. */
INLINE void fill_with(float *y, ptrdiff_t n, __m256 zero)
{
    for (ptrdiff_t i = 0; i < n; i += 8)
        _mm256_storeu_ps(y + i, zero);
}

/* `count` padded rows from number `first` on. */
INLINE seen fill(const pqc_depthwise_plane *p, ptrdiff_t first, ptrdiff_t count, rows_of_floats to,
                 const int S, seen s)
{
    constants c = {_mm256_set1_ps(p->q.mul), _mm256_set1_ps(p->q.lo), _mm256_set1_ps(p->q.hi)};
    ptrdiff_t columns = pqc_depthwise_columns(p), left = pqc_least(p->left, columns);
    ptrdiff_t width = p->width, height = p->height, n = pqc_least(width, columns - left);
    const float *x = p->x;
    const __m256 zero = quantized(first_of(x, 0), c);
    for (ptrdiff_t row = first - p->top; count > 0; count--, row++, to.row += to.pitch) {
        if (row < 0 || row >= height) {
            fill_with(to.row, to.pitch, zero);
            continue;
        }
        if (S == 1) {
            ptrdiff_t end = left + (n + 7) / 8 * 8,
                      used = columns + 8; /* of less than 8 outputs a vector reads more columns */
            fill_with(to.row, left, zero);
            s = p->q.zero == 0 ? quantize_row(x + row * width, to.row + left, n, true, c, s)
                               : quantize_row(x + row * width, to.row + left, n, false, c, s);
            fill_with(to.row + end, used - end, zero);
        } else {
            fill_with(to.row, to.pitch, zero);
            s = quantize_apart(x + row * width, to.row + left % 2 * to.half + left / 2,
                               to.row + (left + 1) % 2 * to.half + (left + 1) / 2, n, c, s);
        }
    }
    return s;
}

/* Products of 8 columns of R rows; K is the kernel's size, S the stride: all constants. */
INLINE void tile(rows_of_floats from, const __m256 *w, const int R, const int K, const int S,
                 __m256 *sums)
{
    PQC_UNROLL(4)
    for (int r = 0; r < R; r++)
        sums[r] = _mm256_setzero_ps();
    PQC_UNROLL(16)
    for (int i = 0; i < (R - 1) * S + K; i++, from.row += from.pitch) {
        PQC_UNROLL(8)
        for (int d = 0; d < K; d++) {
            __m256 v = _mm256_loadu_ps(from.row + (S == 1 ? d : d % 2 * from.half + d / 2));
            PQC_UNROLL(4)
            for (int r = 0; r < R; r++)
                if (i - r * S >= 0 && i - r * S < K)
                    sums[r] = _mm256_fmadd_ps(v, w[(i - r * S) * K + d], sums[r]);
        }
    }
}

/* The first n < 8 of 8 results of each row. */
INLINE void put_some(const __m256 *results, const int R, ptrdiff_t n, float *y, ptrdiff_t pitch)
{
    PQC_UNROLL(4)
    for (int r = 0; r < R; r++) {
        float some[8];
        _mm256_storeu_ps(some, results[r]);
        for (ptrdiff_t i = 0; i < n; i++)
            y[r * pitch + i] = some[i];
    }
}

typedef struct {
    __m256 w[PQC_DEPTHWISE_KERNEL * PQC_DEPTHWISE_KERNEL], scale, bias;
} parameters;

/* R rows of outputs. */
INLINE void rows(rows_of_floats from, const parameters *p, const int R, const int K, const int S,
                 ptrdiff_t width, float *y)
{
    const __m256 scale = p->scale, bias = p->bias;
    __m256 w[PQC_DEPTHWISE_KERNEL * PQC_DEPTHWISE_KERNEL]; /* not changed by what is stored to y */
    PQC_UNROLL(49)
    for (int i = 0; i < K * K; i++)
        w[i] = p->w[i];
    for (ptrdiff_t j = 0; j < width; j += 8) {
        rows_of_floats at = from;
        ptrdiff_t column = width < 8 ? 0 : pqc_least(j, width - 8);
        __m256 results[ROWS];
        at.row += column;
        tile(at, w, R, K, S, results);
        PQC_UNROLL(4)
        for (int r = 0; r < R; r++)
            results[r] = _mm256_fmadd_ps(results[r], scale, bias);
        if (width < 8) {
            put_some(results, R, width, y, width);
            return;
        }
        PQC_UNROLL(4)
        for (int r = 0; r < R; r++)
            _mm256_storeu_ps(y + r * width + column, results[r]);
    }
}

INLINE void block(rows_of_floats from, const parameters *p, const int K, const int S,
                  ptrdiff_t width, ptrdiff_t height, float *y)
{
    ptrdiff_t step = S * from.pitch, row = 0;
    for (; row + 4 <= height; row += 4, from.row += 4 * step)
        rows(from, p, 4, K, S, width, y + row * width);
    for (; row + 2 <= height; row += 2, from.row += 2 * step)
        rows(from, p, 2, K, S, width, y + row * width);
    if (row < height)
        rows(from, p, 1, K, S, width, y + row * width);
}

INLINE unsigned plane(const pqc_depthwise_plane *p, const int K, const int S)
{
    _Alignas(64) float room[ROOM + 16];
    ptrdiff_t width = p->out_width, height = p->out_height;
    ptrdiff_t half = (pqc_depthwise_columns(p) / 2 + SLACK + 7) / 8 * 8;
    /* For a stride of 1 the values after the padding lie at a multiple of 8 floats. */
    rows_of_floats at = {room + (S == 1 ? (8 - p->left % 8) % 8 : 0), 2 * half, half};
    ptrdiff_t most = (ROOM / at.pitch - K) / S + 1; /* rows of outputs in a block */
    parameters all = {.scale = _mm256_set1_ps(p->scale), .bias = _mm256_set1_ps(p->bias)};
    seen s = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int i = 0; i < K * K; i++)
        all.w[i] = _mm256_set1_ps(p->w[i]);
    for (ptrdiff_t i = 0; i < height; i += most) {
        ptrdiff_t count = pqc_least(height - i, most);
        s = fill(p, i * S, (count - 1) * S + K, at, S, s);
        block(at, &all, K, S, width, count, p->y + i * width);
    }
    __m256 below = _mm256_cmp_ps(s.least, _mm256_setzero_ps(), _CMP_LT_OQ);
    return (_mm256_movemask_ps(s.nan) ? PQC_U8_NAN : 0u) |
           (p->q.zero == 0 && _mm256_movemask_ps(below) ? PQC_U8_NEGATIVE : 0u);
}

AVX2 static unsigned plane3(const pqc_depthwise_plane *p)
{
    return p->stride == 1 ? plane(p, 3, 1) : plane(p, 3, 2);
}

AVX2 static unsigned plane5(const pqc_depthwise_plane *p)
{
    return p->stride == 1 ? plane(p, 5, 1) : plane(p, 5, 2);
}

AVX2 static unsigned plane7(const pqc_depthwise_plane *p)
{
    return p->stride == 1 ? plane(p, 7, 1) : plane(p, 7, 2);
}

AVX2 unsigned pqc_depthwise_avx2(const pqc_depthwise_plane *p)
{
    return p->kernel == 3 ? plane3(p) : p->kernel == 5 ? plane5(p) : plane7(p);
}

#endif
