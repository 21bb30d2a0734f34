/* Depthwise u8 x s8 convolution of 5 x 5 taps, channels last, to codes of one byte, with AVX-512 VNNI. */
#include "dwconv_nhwc.h"

#if PQC_X86
#include "dwconv_nhwc_codes_vnni.h"

INLINE void store_pixel(char *at, ptrdiff_t row, __mmask64 lanes, __m256i bytes, const int ROWS)
{
    if (ROWS == 1) {
        _mm256_mask_storeu_epi8(at, (__mmask32)lanes, bytes);
    } else {
        _mm_mask_storeu_epi8(at, (__mmask16)lanes, _mm256_castsi256_si128(bytes));
        _mm_mask_storeu_epi8(at + row, (__mmask16)lanes, _mm256_extracti128_si256(bytes, 1));
    }
}

/* Stores the codes of two neighbouring outputs, or, if `second` is NULL, of one. */
INLINE void store_outputs(const sums *first, const sums *second, results *to, const int ROWS)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15);
    __m512 y[2 * VECTORS];
    PQC_UNROLL(2)
    for (int i = 0; i < VECTORS; i++) {
        y[i] = finish16(first->v[i], to->of[i]);
        y[VECTORS + i] = second ? finish16(second->v[i], to->of[i]) : y[i];
    }
    __m512i bytes = _mm512_permutexvar_epi32(order, packed(y, to));
    store_pixel(to->at, to->row, to->lanes, _mm512_castsi512_si256(bytes), ROWS);
    to->at += to->pixel;
    if (second) {
        store_pixel(to->at, to->row, to->lanes, _mm512_extracti64x4_epi64(bytes, 1), ROWS);
        to->at += to->pixel;
    }
}

#include "dwconv_nhwc_5x5_vnni.h"

/* Scale or bias, of which only `lanes` can be read. */
INLINE sums load_floats(const float *from, __mmask64 lanes, ptrdiff_t apart)
{
    float room[VECTORS * BLOCK];
    PQC_UNROLL(2)
    for (int i = 0; i < VECTORS; i++)
        _mm512_storeu_ps(room + BLOCK * i,
                         _mm512_maskz_loadu_ps((__mmask16)(lanes >> BLOCK * i), from + BLOCK * i));
    return load_blocks(room, apart);
}

INLINE void sum_channels(const pqc_dwconv_nhwc_params *g, ptrdiff_t channel, ptrdiff_t row,
                         int channels, const pqc_output *f, const kind MADE, const int STRIDE,
                         const int ROWS)
{
    results to = results_from(f, row, channel, channels, MADE, ROWS == 1 ? 2 * BLOCK : BLOCK);
    sums scale = load_floats(f->scale + channel, to.lanes, distance(ROWS));
    sums bias = load_floats(f->bias + channel, to.lanes, distance(ROWS));
    PQC_UNROLL(2)
    for (int i = 0; i < VECTORS; i++)
        to.of[i] = (output16){_mm512_castsi512_ps(scale.v[i]), _mm512_castsi512_ps(bias.v[i])};
    sum_5x5(g, channel, to, STRIDE, ROWS);
}

INLINE void sum_all(const pqc_dwconv_nhwc_params *g, ptrdiff_t row, int channels,
                    const pqc_output *f, const kind MADE, const int STRIDE)
{
    ptrdiff_t c = 0;
    for (; c + 2 * BLOCK <= g->channels; c += 2 * BLOCK)
        sum_channels(g, c, row, channels, f, MADE, STRIDE, 1);
    if (c < g->channels)
        sum_channels(g, c, row, channels, f, MADE, STRIDE, 2);
}

PQC_TARGET_VNNI void pqc_dwconv_nhwc_codes_5x5_vnni(const pqc_dwconv_nhwc_params *g, ptrdiff_t row,
                                                    int channels, const pqc_output *f)
{
    finish_pixels first = {.acc = NULL};
    finish_target codes = finish_target_of(&first, f, PQC_U8_CODES);
    bool swish = f->known & PQC_SWISH, raw = finish_is_raw(&codes);
    bool one = pqc_dwconv_shares_columns(g, KERNEL, 1);
    if (swish && one)
        sum_all(g, row, channels, f, SWISH, 1);
    else if (swish)
        sum_all(g, row, channels, f, SWISH, 2);
    else if (raw && one)
        sum_all(g, row, channels, f, RAW, 1);
    else if (raw)
        sum_all(g, row, channels, f, RAW, 2);
    else if (one)
        sum_all(g, row, channels, f, PLAIN, 1);
    else
        sum_all(g, row, channels, f, PLAIN, 2);
}

#endif
