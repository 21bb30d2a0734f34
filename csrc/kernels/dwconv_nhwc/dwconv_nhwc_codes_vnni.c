/* Depthwise u8 x s8 convolution, channels last, to codes of one byte, with AVX-512 VNNI.  As dwconv_nhwc_vnni.c, but
 * 64 channels stay in the order in which unpacking leaves them, which packing the codes undoes; weights and constants
 * are permuted into that order once for all pixels. */
#include "dwconv_nhwc.h"

#if PQC_X86
#include "dwconv_nhwc_codes_vnni.h"

/* Four vectors transposed in groups of lanes: lane j of vector i becomes lane i of vector j.  Fewer vectors stay as
 * they are. */
INLINE sums load_sums(const void *from, const int v)
{
    sums x = load_vectors(from, v);
    if (v < 4)
        return x;
    __m512i a = _mm512_shuffle_i32x4(x.v[0], x.v[1], 0x88);
    __m512i b = _mm512_shuffle_i32x4(x.v[0], x.v[1], 0xdd);
    __m512i c = _mm512_shuffle_i32x4(x.v[2], x.v[3], 0x88);
    __m512i d = _mm512_shuffle_i32x4(x.v[2], x.v[3], 0xdd);
    return (sums){{_mm512_shuffle_i32x4(a, c, 0x88), _mm512_shuffle_i32x4(b, d, 0x88),
                   _mm512_shuffle_i32x4(a, c, 0xdd), _mm512_shuffle_i32x4(b, d, 0xdd)}};
}

INLINE taps load_taps(const int8_t *w, const int v)
{
    return load_sums(w, v);
}

INLINE __m512i load_row(const uint8_t *x, const int v)
{
    return v == 4 ? load_bytes(x, v) : load_channels(x, v);
}

/* Rows from n on repeat the first one; of two rows both are repeated, so that they are unpacked once. */
INLINE column load_column(const uint8_t *x, ptrdiff_t row, ptrdiff_t n, const int v)
{
    if (n == 1 && v < 4)
        return widen(x, v);
    __m512i r0 = load_row(x, v), r1 = n > 1 ? load_row(x + row, v) : r0;
    __m512i r2 = n > 2 ? load_row(x + 2 * row, v) : r0;
    __m512i r3 = n > 3 ? load_row(x + 3 * row, v) : n == 2 ? r1 : r0;
    return interleave(r0, r1, r2, r3, v);
}

/* Scale or bias, from `channel`. */
INLINE sums load_floats(const float *from, __mmask64 lanes, const int v)
{
    float room[64];
    PQC_UNROLL(4)
    for (int i = 0; i < v; i++)
        _mm512_storeu_ps(room + 16 * i,
                         _mm512_maskz_loadu_ps((__mmask16)(lanes >> 16 * i), from + 16 * i));
    return load_sums(room, v);
}

INLINE results results_of(const pqc_output *f, ptrdiff_t row, ptrdiff_t channel, int channels,
                          const kind MADE, const int v)
{
    results to = results_from(f, row, channel, channels, MADE, 16 * v);
    sums scale = load_floats(f->scale + channel, to.lanes, v);
    sums bias = load_floats(f->bias + channel, to.lanes, v);
    PQC_UNROLL(4)
    for (int i = 0; i < v; i++)
        to.of[i] = (output16){_mm512_castsi512_ps(scale.v[i]), _mm512_castsi512_ps(bias.v[i])};
    return to;
}

/* Stores the codes of `rows` pixels of v vectors.  Where v is less than four, the first vector fills the rest. */
INLINE void store_results(const sums *done, const int rows, results *to, const int v)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const int N = rows * v;
    __m512 y[4];
    PQC_UNROLL(4)
    for (int i = 0; i < N; i++)
        y[i] = finish16(done[i / v].v[i % v], to->of[i % v]);
    PQC_UNROLL(3)
    for (int i = N; i < 4; i++)
        y[i] = y[i % N];
    __m512i bytes = packed(y, to);
    if (v < 4)
        bytes = _mm512_permutexvar_epi32(order, bytes);
    if (rows == 1 && v == 4) {
        _mm512_mask_storeu_epi8(to->at, to->lanes, bytes);
    } else if (v == 2) {
        __m256i low = _mm512_castsi512_si256(bytes), high = _mm512_extracti64x4_epi64(bytes, 1);
        _mm256_mask_storeu_epi8(to->at, (__mmask32)to->lanes, low);
        if (rows == 2)
            _mm256_mask_storeu_epi8(to->at + to->row, (__mmask32)to->lanes, high);
    } else {
        __m128i low = _mm512_castsi512_si128(bytes), high = _mm512_extracti32x4_epi32(bytes, 1);
        _mm_mask_storeu_epi8(to->at, (__mmask16)to->lanes, low);
        if (rows == 2)
            _mm_mask_storeu_epi8(to->at + to->row, (__mmask16)to->lanes, high);
    }
    to->at += to->pixel;
}

#include "dwconv_nhwc_rows.h"

/* All channels, in blocks whose sums stay in registers and that take the least time in total. */
INLINE void sum_all(const pqc_dwconv_nhwc_params *g, ptrdiff_t row, int channels,
                    const pqc_output *f, const int stride, const kind MADE)
{
    ptrdiff_t c = 0;
    for (; c + 64 <= g->channels && stride == 2; c += 64)
        sum_shared(g, c, results_of(f, row, c, channels, MADE, 4), 3, stride, 4);
    for (; c + 32 <= g->channels; c += 32)
        sum_shared(g, c, results_of(f, row, c, channels, MADE, 2), 3, stride, 2);
    for (; c < g->channels; c += 16)
        sum_shared(g, c, results_of(f, row, c, channels, MADE, 1), 3, stride, 1);
}

INLINE void sum_any(const pqc_dwconv_nhwc_params *g, ptrdiff_t row, int channels,
                    const pqc_output *f, const kind MADE)
{
    if (pqc_dwconv_shares_columns(g, 3, 1))
        sum_all(g, row, channels, f, 1, MADE);
    else
        sum_all(g, row, channels, f, 2, MADE);
}

PQC_TARGET_VNNI void pqc_dwconv_nhwc_codes_vnni(const pqc_dwconv_nhwc_params *g, ptrdiff_t row,
                                                int channels, const pqc_output *f)
{
    finish_pixels first = {.acc = NULL};
    finish_target codes = finish_target_of(&first, f, PQC_U8_CODES);
    if (g->columns == 0)
        return;
    if (g->kh == 5)
        pqc_dwconv_nhwc_codes_5x5_vnni(g, row, channels, f);
    else if (f->known & PQC_SWISH)
        sum_any(g, row, channels, f, SWISH);
    else if (finish_is_raw(&codes))
        sum_any(g, row, channels, f, RAW);
    else
        sum_any(g, row, channels, f, PLAIN);
}

#endif
