/* The transforms of Winograd's F(4 x 4, 3 x 3) on integers, with AVX2; see winograd.h. */
#include "winograd_avx2.h"

#if PQC_X86
#include "winograd_transforms_avx2.h"

typedef __m256i vector;

#define OP(name) _mm256_##name

#include "winograd_f4.h"

/* d B for one row of four neighbouring tiles, which begin at every fourth c4 block. */
INLINE six across(const uint8_t *x)
{
    __m128i r0 = bytes_at(x), r1 = bytes_at(x + 16), r2 = bytes_at(x + 32), r3 = bytes_at(x + 48);
    __m128i next = _mm_loadl_epi64((const __m128i *)(const void *)(x + 64));
    __m128i a = _mm_unpacklo_epi32(r0, r1), b = _mm_unpackhi_epi32(r0, r1);
    __m128i c = _mm_unpacklo_epi32(r2, r3), d = _mm_unpackhi_epi32(r2, r3);
    __m128i d0 = _mm_unpacklo_epi64(a, c), d1 = _mm_unpackhi_epi64(a, c);
    __m128i d2 = _mm_unpacklo_epi64(b, d), d3 = _mm_unpackhi_epi64(b, d);
    __m128i d4 = _mm_alignr_epi8(next, d0, 4);
    __m128i d5 = _mm_alignr_epi8(_mm_srli_epi64(next, 32), d1, 4);
    __m256i wide[6] = {_mm256_cvtepu8_epi16(d0), _mm256_cvtepu8_epi16(d1),
                       _mm256_cvtepu8_epi16(d2), _mm256_cvtepu8_epi16(d3),
                       _mm256_cvtepu8_epi16(d4), _mm256_cvtepu8_epi16(d5)};
    return mixed(wide);
}

INLINE void four_tiles(const uint8_t *const *row, ptrdiff_t at, int16_t *v, ptrdiff_t position)
{
    six line[6];
    PQC_UNROLL(6)
    for (int i = 0; i < 6; i++)
        line[i] = across(row[i] + at);
    PQC_UNROLL(6)
    for (int j = 0; j < 6; j++) {
        __m256i d[6];
        PQC_UNROLL(6)
        for (int i = 0; i < 6; i++)
            d[i] = line[i].at[j];
        six column = mixed(d);
        PQC_UNROLL(6)
        for (int i = 0; i < 6; i++)
            store_words(v + (6 * i + j) * position, column.at[i]);
    }
}

/* (a, b, c) G' */
INLINE six widened(__m256i a, __m256i b, __m256i c)
{
    __m256i ends = _mm256_add_epi16(a, c), twice = _mm256_add_epi16(b, b);
    __m256i far = _mm256_add_epi16(a, _mm256_slli_epi16(c, 2));
    return (six){{a, _mm256_add_epi16(ends, b), _mm256_sub_epi16(ends, b),
                  _mm256_add_epi16(far, twice), _mm256_sub_epi16(far, twice), c}};
}

INLINE void one_pair(__m256i taps[9], int16_t *u, ptrdiff_t position)
{
    six row[3];
    PQC_UNROLL(3)
    for (int i = 0; i < 3; i++)
        row[i] = widened(taps[3 * i], taps[3 * i + 1], taps[3 * i + 2]);
    PQC_UNROLL(6)
    for (int j = 0; j < 6; j++) {
        six column = widened(row[0].at[j], row[1].at[j], row[2].at[j]);
        PQC_UNROLL(6)
        for (int i = 0; i < 6; i++)
            store_words(u + (6 * i + j) * position, column.at[i]);
    }
}

INLINE void one_tile(const int32_t *m, ptrdiff_t position, __m256i compensation, int32_t *to,
                     ptrdiff_t to_row)
{
    __m256i start = _mm256_slli_epi32(compensation, 6);
    four column[6];
    PQC_UNROLL(6)
    for (int j = 0; j < 6; j++) {
        __m256i x[6];
        PQC_UNROLL(6)
        for (int i = 0; i < 6; i++)
            x[i] = load_words(m + (6 * i + j) * position);
        column[j] = scaled(x);
    }
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        __m256i x[6];
        PQC_UNROLL(6)
        for (int j = 0; j < 6; j++)
            x[j] = column[j].at[i];
        four row = scaled(x);
        PQC_UNROLL(4)
        for (int j = 0; j < 4; j++)
            store_words(to + i * to_row + j * PQC_WINOGRAD_CHANNELS, divided(row.at[j], start));
    }
}

AVX2 void pqc_winograd4_inputs_avx2(const pqc_winograd_image *image, ptrdiff_t first,
                                    ptrdiff_t tiles, ptrdiff_t v_stride, int16_t *v)
{
    transform_inputs(image, first, tiles, v_stride, v, 4, four_tiles);
}

AVX2 void pqc_winograd4_weights_avx2(const int8_t *w, ptrdiff_t k_stride, ptrdiff_t w_row,
                                     ptrdiff_t c4_blocks, int16_t *u)
{
    transform_weights(w, k_stride, w_row, c4_blocks, u, one_pair);
}

AVX2 void pqc_winograd4_sums_avx2(const int32_t *m, ptrdiff_t m_stride, ptrdiff_t tiles,
                                  const int32_t *compensation, int32_t *to, ptrdiff_t to_row)
{
    transform_products(m, m_stride, tiles, compensation, to, to_row, 4, one_tile);
}

#endif
