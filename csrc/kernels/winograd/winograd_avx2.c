#include "pairs_avx2.h"
#include "pqc.h"
#include "winograd.h"

#if PQC_X86

INLINE __m128i bytes_at(const uint8_t *x)
{
    return _mm_loadu_si128((const __m128i *)(const void *)x);
}

/* Of 8 neighbouring quads, `a` and `b`: those with an even number, or an odd one, in 16 bits. */
INLINE __m256i every_other(__m128i a, __m128i b, const bool odd)
{
    __m128 x = _mm_castsi128_ps(a), y = _mm_castsi128_ps(b);
    __m128 picked = odd ? _mm_shuffle_ps(x, y, 0xdd) : _mm_shuffle_ps(x, y, 0x88);
    return _mm256_cvtepu8_epi16(_mm_castps_si128(picked));
}

typedef struct {
    __m256i at[4];
} four;

/* d B of one row of four neighbouring tiles, which begin at every other quad. */
INLINE four across(const uint8_t *x)
{
    __m128i a = bytes_at(x), b = bytes_at(x + 16), c = bytes_at(x + 8), d = bytes_at(x + 24);
    __m256i x0 = every_other(a, b, false), x1 = every_other(a, b, true);
    __m256i x2 = every_other(c, d, false), x3 = every_other(c, d, true);
    return (four){{_mm256_sub_epi16(x0, x2), _mm256_add_epi16(x1, x2), _mm256_sub_epi16(x2, x1),
                   _mm256_sub_epi16(x1, x3)}};
}

/* B' d B of four neighbouring tiles: `row` holds their four rows, `position` words lie from a position to the next. */
INLINE void transform_inputs(const uint8_t *const row[4], ptrdiff_t at, int16_t *v,
                             ptrdiff_t position)
{
    four r1 = across(row[1] + at), r2 = across(row[2] + at);
    PQC_UNROLL(4)
    for (int j = 0; j < 4; j++) {
        store_words(v + (4 + j) * position, _mm256_add_epi16(r1.at[j], r2.at[j]));
        store_words(v + (8 + j) * position, _mm256_sub_epi16(r2.at[j], r1.at[j]));
    }
    four r0 = across(row[0] + at);
    PQC_UNROLL(4)
    for (int j = 0; j < 4; j++)
        store_words(v + j * position, _mm256_sub_epi16(r0.at[j], r2.at[j]));
    four r3 = across(row[3] + at);
    PQC_UNROLL(4)
    for (int j = 0; j < 4; j++)
        store_words(v + (12 + j) * position, _mm256_sub_epi16(r1.at[j], r3.at[j]));
}

AVX2 static void inputs(const pqc_winograd_image *image, ptrdiff_t first, ptrdiff_t tiles,
                        ptrdiff_t v_pitch, int16_t *v)
{
    ptrdiff_t position = image->quads * v_pitch * 4;
    for (ptrdiff_t done = 0; done < tiles;) {
        ptrdiff_t down = (first + done) / image->across, x = (first + done) % image->across;
        ptrdiff_t count = pqc_least(image->across - x, tiles - done);
        for (ptrdiff_t quad = 0; quad < image->quads; quad++) {
            const uint8_t *plane = image->x + quad * image->plane, *row[4];
            for (int i = 0; i < 4; i++)
                row[i] = plane + pqc_least(2 * down + i, image->rows - 1) * image->row;
            for (ptrdiff_t t = 0; t < count; t += 4)
                transform_inputs(row, 8 * (x + t), v + (quad * v_pitch + done + t) * 4, position);
        }
        done += count;
    }
}

/* (a, b, c) G' */
INLINE four widened(__m256i a, __m256i b, __m256i c)
{
    __m256i ends = _mm256_add_epi16(a, c);
    return (four){{_mm256_add_epi16(a, a), _mm256_add_epi16(ends, b), _mm256_sub_epi16(ends, b),
                   _mm256_add_epi16(c, c)}};
}

/* G g G' of one pair of input channels and 8 output channels, from the rows of g G'. */
INLINE void put_weights(const four row[3], int16_t *u, ptrdiff_t position)
{
    PQC_UNROLL(4)
    for (int j = 0; j < 4; j++) {
        four column = widened(row[0].at[j], row[1].at[j], row[2].at[j]);
        PQC_UNROLL(4)
        for (int i = 0; i < 4; i++)
            store_words(u + (4 * i + j) * position, column.at[i]);
    }
}

/* G g G' of four input channels and 8 output channels. */
INLINE void transform_weights(const int8_t *w, ptrdiff_t w_step, int16_t *u, ptrdiff_t position)
{
    four first[3], second[3];
    PQC_UNROLL(3)
    for (int i = 0; i < 3; i++, w += 3 * w_step) {
        __m256i a[2], b[2], c[2];
        widen_pairs(load_words(w), true, a);
        widen_pairs(load_words(w + w_step), true, b);
        widen_pairs(load_words(w + 2 * w_step), true, c);
        first[i] = widened(a[0], b[0], c[0]);
        second[i] = widened(a[1], b[1], c[1]);
    }
    put_weights(first, u, position);
    put_weights(second, u + 32, position);
}

AVX2 static void weights(const int8_t *w, ptrdiff_t w_step, ptrdiff_t quads, int16_t *u)
{
    ptrdiff_t position = pqc_winograd_weights(quads);
    for (ptrdiff_t quad = 0; quad < quads; quad++, w += 9 * w_step, u += PAIRS_WEIGHTS) {
        transform_weights(w, w_step, u, position);
        transform_weights(w + 32, w_step, u + 16, position);
    }
}

AVX2 static void products(const int16_t *v, ptrdiff_t v_quads, ptrdiff_t v_pitch, const int16_t *u,
                          ptrdiff_t quads, ptrdiff_t tiles, bool more, int32_t *m,
                          ptrdiff_t m_pitch)
{
    for (int p = 0; p < PQC_WINOGRAD_POSITIONS; p++) {
        pairs_strip s = {v + p * v_quads * v_pitch * 4, v_pitch * 4,
                         u + p * pqc_winograd_weights(quads), quads};
        pairs_product(s, tiles, more, m + p * m_pitch * PQC_WINOGRAD_CHANNELS,
                      PQC_WINOGRAD_CHANNELS);
    }
}

typedef struct {
    __m256i at[2];
} two;

/* (a, b, c, d) A */
INLINE two narrowed(__m256i a, __m256i b, __m256i c, __m256i d)
{
    return (two){
        {_mm256_add_epi32(_mm256_add_epi32(a, b), c), _mm256_sub_epi32(_mm256_sub_epi32(b, c), d)}};
}

/* The outputs of one tile for 8 channels; `position` numbers lie from a position to the next. */
INLINE void transform_products(const int32_t *m, ptrdiff_t position, __m256i start, int32_t *upper,
                               int32_t *lower)
{
    two row[4];
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++, m += 4 * position)
        row[i] = narrowed(load_words(m), load_words(m + position), load_words(m + 2 * position),
                          load_words(m + 3 * position));
    PQC_UNROLL(2)
    for (int j = 0; j < 2; j++) {
        two column = narrowed(row[0].at[j], row[1].at[j], row[2].at[j], row[3].at[j]);
        int32_t *to[2] = {upper, lower};
        PQC_UNROLL(2)
        for (int i = 0; i < 2; i++) {
            __m256i sum = _mm256_srai_epi32(column.at[i], 2);
            store_words(to[i] + 16 * j, _mm256_add_epi32(sum, start));
        }
    }
}

AVX2 static void sums(const int32_t *m, ptrdiff_t m_pitch, ptrdiff_t tiles, const int32_t *start,
                      int32_t *upper, int32_t *lower)
{
    for (int half = 0; half < 16; half += 8) {
        __m256i first = load_words(start + half);
        for (ptrdiff_t t = 0; t < tiles; t++)
            transform_products(m + 16 * t + half, m_pitch * 16, first, upper + 32 * t + half,
                               lower + 32 * t + half);
    }
}

const pqc_winograd pqc_winograd_avx2 = {inputs, weights, products, sums};

#endif
