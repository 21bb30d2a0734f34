/* The transforms of Winograd's F(2 x 2, 3 x 3) on integers, with AVX2; see winograd.h. */
#include "winograd_avx2.h"

#if PQC_X86
#include "winograd_transforms_avx2.h"

typedef struct {
    __m256i at[4];
} four;

/* The even, or the odd, ones of 8 neighbouring c4 blocks `a` and `b`, in 16 bits. */
INLINE __m256i every_other(__m128i a, __m128i b, const bool odd)
{
    __m128 x = _mm_castsi128_ps(a), y = _mm_castsi128_ps(b);
    __m128 picked = odd ? _mm_shuffle_ps(x, y, 0xdd) : _mm_shuffle_ps(x, y, 0x88);
    return _mm256_cvtepu8_epi16(_mm_castps_si128(picked));
}

/* d B for one row of four neighbouring tiles, which begin at every other c4 block. */
INLINE four across(const uint8_t *x)
{
    __m128i a = bytes_at(x), b = bytes_at(x + 16), c = bytes_at(x + 8), d = bytes_at(x + 24);
    __m256i x0 = every_other(a, b, false), x1 = every_other(a, b, true);
    __m256i x2 = every_other(c, d, false), x3 = every_other(c, d, true);
    return (four){{_mm256_sub_epi16(x0, x2), _mm256_add_epi16(x1, x2), _mm256_sub_epi16(x2, x1),
                   _mm256_sub_epi16(x1, x3)}};
}

INLINE void four_tiles(const uint8_t *const *row, ptrdiff_t at, int16_t *v, ptrdiff_t position)
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

/* (a, b, c) G' */
INLINE four widened(__m256i a, __m256i b, __m256i c)
{
    __m256i ends = _mm256_add_epi16(a, c);
    return (four){{_mm256_add_epi16(a, a), _mm256_add_epi16(ends, b), _mm256_sub_epi16(ends, b),
                   _mm256_add_epi16(c, c)}};
}

INLINE void one_pair(__m256i taps[9], int16_t *u, ptrdiff_t position)
{
    four row[3];
    PQC_UNROLL(3)
    for (int i = 0; i < 3; i++)
        row[i] = widened(taps[3 * i], taps[3 * i + 1], taps[3 * i + 2]);
    PQC_UNROLL(4)
    for (int j = 0; j < 4; j++) {
        four column = widened(row[0].at[j], row[1].at[j], row[2].at[j]);
        PQC_UNROLL(4)
        for (int i = 0; i < 4; i++)
            store_words(u + (4 * i + j) * position, column.at[i]);
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

INLINE void one_tile(const int32_t *m, ptrdiff_t position, __m256i compensation, int32_t *to,
                     ptrdiff_t to_row)
{
    two row[4];
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++, m += 4 * position)
        row[i] = narrowed(load_words(m), load_words(m + position), load_words(m + 2 * position),
                          load_words(m + 3 * position));
    PQC_UNROLL(2)
    for (int j = 0; j < 2; j++) {
        two column = narrowed(row[0].at[j], row[1].at[j], row[2].at[j], row[3].at[j]);
        PQC_UNROLL(2)
        for (int i = 0; i < 2; i++) {
            __m256i sum = _mm256_add_epi32(column.at[i], _mm256_slli_epi32(compensation, 2));
            store_words(to + i * to_row + j * PQC_WINOGRAD_CHANNELS, _mm256_srai_epi32(sum, 2));
        }
    }
}

AVX2 void pqc_winograd2_inputs_avx2(const pqc_winograd_image *image, ptrdiff_t first,
                                    ptrdiff_t tiles, ptrdiff_t v_stride, int16_t *v)
{
    transform_inputs(image, first, tiles, v_stride, v, 2, four_tiles);
}

AVX2 void pqc_winograd2_weights_avx2(const int8_t *w, ptrdiff_t k_stride, ptrdiff_t w_row,
                                     ptrdiff_t c4_blocks, int16_t *u)
{
    transform_weights(w, k_stride, w_row, c4_blocks, u, one_pair);
}

AVX2 void pqc_winograd2_sums_avx2(const int32_t *m, ptrdiff_t m_stride, ptrdiff_t tiles,
                                  const int32_t *compensation, int32_t *to, ptrdiff_t to_row)
{
    transform_products(m, m_stride, tiles, compensation, to, to_row, 2, one_tile);
}

#endif
