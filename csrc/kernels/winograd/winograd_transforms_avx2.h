/* Loops and loads shared by the AVX2 transforms of both tile sizes. */
#ifndef PQC_WINOGRAD_TRANSFORMS_AVX2_H
#define PQC_WINOGRAD_TRANSFORMS_AVX2_H

#include "pqc.h"
#include "winograd.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

enum { MAX_ROWS = 6 };

INLINE __m128i bytes_at(const uint8_t *x)
{
    return _mm_loadu_si128((const __m128i *)(const void *)x);
}

/* B' d B for four channels of four neighbouring tiles; positions are `position` words apart. */
typedef void inputs_fn(const uint8_t *const *row, ptrdiff_t at, int16_t *v, ptrdiff_t position);

/* Both are constants after inlining. */
INLINE void transform_inputs(const pqc_winograd_image *image, ptrdiff_t first, ptrdiff_t tiles,
                             ptrdiff_t v_stride, int16_t *v, const int side, inputs_fn *transform)
{
    ptrdiff_t position = image->c4_blocks * v_stride * 4;
    for (ptrdiff_t done = 0; done < tiles;) {
        ptrdiff_t down = (first + done) / image->across, x = (first + done) % image->across;
        ptrdiff_t count = pqc_min(image->across - x, tiles - done);
        for (ptrdiff_t c4 = 0; c4 < image->c4_blocks; c4++) {
            const uint8_t *block_stride = image->x + c4 * image->block_stride, *row[MAX_ROWS];
            for (int i = 0; i < side + 2; i++)
                row[i] = block_stride + pqc_min(side * down + i, image->rows - 1) * image->row;
            for (ptrdiff_t t = 0; t < count; t += 4)
                transform(row, 4 * side * (x + t), v + (c4 * v_stride + done + t) * 4, position);
        }
        done += count;
    }
}

/* G g G' for two input channels and 8 output channels. */
typedef void weights_fn(__m256i taps[9], int16_t *u, ptrdiff_t position);

/* The first two, and the last two, of each of 8 groups of four signed bytes, in 16 bits. */
INLINE void widen_pairs(__m256i c4_blocks, __m256i pair[2])
{
    __m256i spread = _mm256_permute4x64_epi64(c4_blocks, _MM_SHUFFLE(3, 1, 2, 0));
    __m256i low = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(spread));
    __m256i high = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(spread, 1));
    __m256 x = _mm256_castsi256_ps(low), y = _mm256_castsi256_ps(high);
    pair[0] = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88));
    pair[1] = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd));
}

INLINE void transform_weights(const int8_t *w, ptrdiff_t k_stride, ptrdiff_t w_row,
                              ptrdiff_t c4_blocks, int16_t *u, weights_fn *transform)
{
    ptrdiff_t position = pqc_winograd_weights(c4_blocks);
    for (ptrdiff_t c4 = 0; c4 < c4_blocks; c4++, w += 3 * k_stride)
        for (int half = 0; half < 2; half++) {
            __m256i pair[2][9];
            PQC_UNROLL(9)
            for (int tap = 0; tap < 9; tap++) {
                __m256i both[2];
                widen_pairs(load_words(w + tap / 3 * w_row + tap % 3 * k_stride + 32 * half), both);
                pair[0][tap] = both[0];
                pair[1][tap] = both[1];
            }
            int16_t *to = u + c4 * 4 * PQC_WINOGRAD_CHANNELS + 16 * half;
            transform(pair[0], to, position);
            transform(pair[1], to + 32, position);
        }
}

/* 8 channels of one tile; positions are `position` numbers apart, rows of pixels `to_row`. */
typedef void sums_fn(const int32_t *m, ptrdiff_t position, __m256i compensation, int32_t *to,
                     ptrdiff_t to_row);

INLINE void transform_products(const int32_t *m, ptrdiff_t m_stride, ptrdiff_t tiles,
                               const int32_t *compensation, int32_t *to, ptrdiff_t to_row,
                               const int side, sums_fn *transform)
{
    for (int half = 0; half < PQC_WINOGRAD_CHANNELS; half += 8) {
        __m256i first = load_words(compensation + half);
        for (ptrdiff_t t = 0; t < tiles; t++)
            transform(m + t * PQC_WINOGRAD_CHANNELS + half, m_stride * PQC_WINOGRAD_CHANNELS, first,
                      to + side * t * PQC_WINOGRAD_CHANNELS + half, to_row);
    }
}

#endif
#endif
