/* Quantised inputs as packed rows of 32-bit elements, each a pair of words that one multiplication takes:
 *
 *     stride 1   a packed row for two padded rows, a column's values of both in a pair: the even row in the low word
 *     stride 2   a packed row for each padded row, columns 2 i and 2 i + 1 in pair i
 *
 * Either way the pairs of neighbouring outputs are neighbours. */
#ifndef PQC_DWCONV_U8S8_AVX2_H
#define PQC_DWCONV_U8S8_AVX2_H

#include "dwconv_u8s8.h"

#if PQC_X86
#include "avx2.h"

enum { PACKED_ROOM = 4096 }; /* in pairs: half of L1 */

typedef struct {
    int32_t *data;   /* pair of column 0 in the first packed row */
    ptrdiff_t pitch; /* pairs between packed rows */
} packed_rows;

/* For the flags: whether a lane was NaN, the smallest word before clamping, and the smallest value.  (A NaN may hide
 * a smaller value, but is refused itself.) */
typedef struct {
    __m256 nan, least;
    __m256i word;
} words_seen;

typedef struct {
    __m256 mul, lo, hi;
    __m256i lo_word, hi_word;
} word_constants;

static const float padding_row[PQC_DWCONV_MAX_WIDTH]; /* a row of padding */

/* Columns in front of column 0, so that the inputs lie at a multiple of 32 bytes, or for stride 2 one word after it. */
AVX2 PQC_INLINE ptrdiff_t packed_start(const pqc_dwconv_params *p, const int S)
{
    return S == 1 ? -p->left & 7 : -(p->left & -2) & 15;
}

/* Columns that are read: for fewer than 8 outputs a vector reads beyond them. */
AVX2 PQC_INLINE ptrdiff_t packed_used(const pqc_dwconv_params *p)
{
    ptrdiff_t width = pqc_dwconv_padded_width(p), least = 7 * p->stride + p->kernel + 1;
    return width + 1 > least ? width + 1 : least;
}

AVX2 PQC_INLINE packed_rows packed_rows_in(int32_t *room, const pqc_dwconv_params *p, const int S)
{
    ptrdiff_t vector = S == 1 ? 8 : 16, start = packed_start(p, S);
    ptrdiff_t pitch = (start + packed_used(p) + 2 * vector) / vector * vector;
    return S == 1 ? (packed_rows){room + start, pitch} : (packed_rows){room + start / 2, pitch / 2};
}

/* Converts two vectors to words.  NaN and numbers beyond 32 bits become the smallest word; `careful` clamps first. */
AVX2 PQC_INLINE __m256i words_of(__m256 a, __m256 b, const bool careful, const bool is_unsigned,
                                 const word_constants *c, words_seen *s)
{
    if (is_unsigned)
        s->least = _mm256_min_ps(s->least, _mm256_min_ps(a, b));
    a = _mm256_mul_ps(a, c->mul);
    b = _mm256_mul_ps(b, c->mul);
    if (careful) {
        s->nan = _mm256_or_ps(s->nan, _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
        a = _mm256_min_ps(c->hi, _mm256_max_ps(c->lo, a));
        b = _mm256_min_ps(c->hi, _mm256_max_ps(c->lo, b));
    }
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
    if (careful)
        return words;
    s->word = _mm256_min_epi16(s->word, words);
    return _mm256_max_epi16(c->lo_word, _mm256_min_epi16(c->hi_word, words));
}

/* What all packed rows of a channel share: the zeros in front of the n inputs, the end of their last vector, the end
 * of what is read, and masks for the last vectors. */
typedef struct {
    ptrdiff_t before, n, after, end;
    __m256i mask, next_mask, zero;
} packed_row_shape;

/* Packs n columns of two rows, then up to 7 pairs of zeros. */
AVX2 PQC_INLINE void pair_rows(const float *x, const float *next, int32_t *to,
                               const packed_row_shape *f, const bool careful,
                               const bool is_unsigned, const word_constants *c, words_seen *s)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    ptrdiff_t i = 0;
    for (; i + 8 <= f->n; i += 8) {
        __m256i words =
            words_of(_mm256_loadu_ps(x + i), _mm256_loadu_ps(next + i), careful, is_unsigned, c, s);
        store_words(to + i, _mm256_shuffle_epi8(words, order));
    }
    if (i < f->n) {
        __m256i words = words_of(_mm256_maskload_ps(x + i, f->mask),
                                 _mm256_maskload_ps(next + i, f->mask), careful, is_unsigned, c, s);
        store_words(to + i, _mm256_shuffle_epi8(words, order));
    }
}

/* Packs n columns of one row, then up to 15 words of zeros. */
AVX2 PQC_INLINE void one_row(const float *x, int16_t *to, const packed_row_shape *f,
                             const bool careful, const bool is_unsigned, const word_constants *c,
                             words_seen *s)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= f->n; i += 16) {
        __m256 a = _mm256_castps128_ps256(_mm_loadu_ps(x + i)),
               b = _mm256_castps128_ps256(_mm_loadu_ps(x + i + 4));
        a = _mm256_insertf128_ps(a, _mm_loadu_ps(x + i + 8), 1);
        b = _mm256_insertf128_ps(b, _mm_loadu_ps(x + i + 12), 1);
        store_words(to + i, words_of(a, b, careful, is_unsigned, c, s));
    }
    if (i < f->n) {
        __m256 a = _mm256_maskload_ps(x + i, f->mask),
               b = _mm256_maskload_ps(x + i + pqc_min(f->n - i, 8), f->next_mask);
        __m256 low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
        store_words(to + i, words_of(low, high, careful, is_unsigned, c, s));
    }
}

/* Writes zeros to [begin, end) and up to 7 more.  `zero` is opaque: otherwise compilers would call memset, which
 * takes longer than these few vectors. */
AVX2 PQC_INLINE void put_zeros(int32_t *to, ptrdiff_t begin, ptrdiff_t end, __m256i zero)
{
    for (; begin < end; begin += 8)
        store_words(to + begin, zero);
}

AVX2 PQC_INLINE packed_row_shape shape_of(const pqc_dwconv_params *p, const int S)
{
    const ptrdiff_t padded_width = pqc_dwconv_padded_width(p),
                    left = pqc_min(p->left, padded_width);
    const ptrdiff_t n = pqc_min(p->width, padded_width - left), vector = S == 1 ? 8 : 16;
    const ptrdiff_t start = packed_start(p, S);
    __m256i zero = _mm256_setzero_si256(), same = zero;
    PQC_KEEP_IN_REGISTERS(zero, same);
    return (packed_row_shape){.before = start + left,
                              .n = n,
                              .after = start + left + (n + vector - 1) / vector * vector,
                              .end = start + packed_used(p),
                              .mask = first_lanes(n % vector),
                              .next_mask = first_lanes(n % vector - 8),
                              .zero = zero};
}

AVX2 PQC_INLINE words_seen fill_with(const pqc_dwconv_params *p, ptrdiff_t first, ptrdiff_t count,
                                     packed_rows to, const int S, const bool careful,
                                     const bool is_unsigned)
{
    const word_constants c = {_mm256_set1_ps(p->q.mul), _mm256_set1_ps(p->q.lo),
                              _mm256_set1_ps(p->q.hi), _mm256_set1_epi16((short)p->q.lo),
                              _mm256_set1_epi16((short)p->q.hi)};
    const packed_row_shape f = shape_of(p, S);
    const ptrdiff_t width = p->width, used = (p->out_height - 1) * S + p->kernel - p->top;
    const ptrdiff_t height = pqc_min(p->height, used);
    const float *rows = p->x;
    words_seen s = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_si256()};
    int32_t *packed = to.data - packed_start(p, S) / S;
    for (ptrdiff_t row = first - p->top; count > 0;
         count--, row += S == 1 ? 2 : 1, packed += to.pitch) {
        const float *x = row >= 0 && row < height ? rows + row * width : padding_row;
        const float *next =
            row + 1 >= 0 && row + 1 < height ? rows + (row + 1) * width : padding_row;
        put_zeros(packed, 0, (f.before + S - 1) / S, f.zero);
        put_zeros(packed, f.after / S, (f.end + S - 1) / S, f.zero);
        if (S == 1)
            pair_rows(x, next, packed + f.before, &f, careful, is_unsigned, &c, &s);
        else
            one_row(x, (int16_t *)(void *)packed + f.before, &f, careful, is_unsigned, &c, &s);
    }
    return s;
}

AVX2 PQC_NOINLINE words_seen fill_quickly(const pqc_dwconv_params *p, ptrdiff_t first,
                                          ptrdiff_t count, packed_rows to)
{
    if (p->q.zero != 0)
        return p->stride == 1 ? fill_with(p, first, count, to, 1, false, false)
                              : fill_with(p, first, count, to, 2, false, false);
    return p->stride == 1 ? fill_with(p, first, count, to, 1, false, true)
                          : fill_with(p, first, count, to, 2, false, true);
}

/* The slow path, for values beyond 16 bits or NaN. */
AVX2 PQC_NOINLINE unsigned fill_carefully(const pqc_dwconv_params *p, ptrdiff_t first,
                                          ptrdiff_t count, packed_rows to)
{
    words_seen s = p->stride == 1 ? fill_with(p, first, count, to, 1, true, true)
                                  : fill_with(p, first, count, to, 2, true, true);
    return _mm256_movemask_ps(s.nan) ? PQC_U8_NAN : 0u;
}

/* Writes `count` packed rows, starting with padded row `first`; rows beyond those that outputs use are zeros.
 * Returns flags. */
AVX2 PQC_INLINE unsigned fill_packed_rows(const pqc_dwconv_params *p, ptrdiff_t first,
                                          ptrdiff_t count, packed_rows to)
{
    words_seen s = fill_quickly(p, first, count, to);
    __m256i suspicious = _mm256_cmpeq_epi16(s.word, _mm256_set1_epi16(INT16_MIN));
    __m256 below = _mm256_cmp_ps(s.least, _mm256_setzero_ps(), _CMP_LT_OQ);
    unsigned flags = p->q.zero == 0 && _mm256_movemask_ps(below) ? PQC_U8_NEGATIVE : 0u;
    return _mm256_testz_si256(suspicious, suspicious) ? flags
                                                      : flags | fill_carefully(p, first, count, to);
}

#endif
#endif
