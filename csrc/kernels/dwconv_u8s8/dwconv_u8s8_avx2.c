/* Depthwise convolution of float32 planes that are quantised to bytes on the way, to float32 CHW, with AVX2; see
 * dwconv_u8s8.h. */
#include "dwconv_u8s8_avx2.h"

#if PQC_X86
#include "requantize/requantize_avx2.h"

#define INLINE AVX2 PQC_INLINE

/* First all packed rows (dwconv_u8s8_avx2.h) that a block of output rows needs are written, so that the stores have
 * retired before loads that overlap two of them.  Then outputs are computed ROWS rows by 8 columns at a time. */
enum { ROWS = 4, PITCH = 8, NARROW = 64 };

/* From the kernel's size and the stride: packed rows per output row, pairs read from each, and the first packed row
 * of an output row. */
INLINE int packed_rows_of(const int K, const int S)
{
    return S == 1 ? (K + 1) / 2 : K;
}

INLINE int pairs_of(const int K, const int S)
{
    return S == 1 ? K : (K + 1) / 2;
}

INLINE ptrdiff_t first_packed_row(ptrdiff_t row, const int S)
{
    return S == 1 ? row / 2 : 2 * row;
}

/* Pairs of weights.  With stride 1, those of an even output row are followed by those of an odd one, whose first tap
 * is the second half of a pair. */
typedef struct {
    int32_t pairs[(PQC_DWCONV_MAX_KERNEL + 1) * PITCH];
    pqc_output_f32 to;
} parameters;

/* One row of weights, padded with zeros; all zeros outside the kernel. */
INLINE __m256i weights_of(const pqc_dwconv_params *p, const int K, int row)
{
    const int along = (K + 3) / 4;
    int32_t step[2] = {0, 0};
    if (row < 0 || row >= K)
        return _mm256_setzero_si256();
    PQC_UNROLL(2)
    for (int i = 0; i < along; i++)
        memcpy(&step[i], p->taps + (row * along + i) * p->taps_step, 4);
    return _mm256_cvtepi8_epi32(_mm_setr_epi32(step[0], step[1], 0, 0));
}

INLINE void set_weights(const pqc_dwconv_params *p, const int K, const int S, int32_t *pairs)
{
    const __m256i low_half = _mm256_set1_epi32(0xffff);
    const int L = packed_rows_of(K, S), N = (S == 1 ? 2 : 1) * L;
    PQC_UNROLL(8)
    for (int i = 0; i < N; i++, pairs += PITCH) {
        int row = S == 1 ? 2 * (i % L) - i / L : i;
        __m256i w = weights_of(p, K, row), next = weights_of(p, K, row + 1);
        if (S == 1) {
            w = _mm256_or_si256(_mm256_and_si256(w, low_half), _mm256_slli_epi32(next, 16));
            _mm256_storeu_si256((__m256i *)(void *)pairs, w);
        } else {
            __m128i words =
                _mm_packs_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
            _mm_storeu_si128((__m128i *)(void *)pairs, words);
        }
    }
}

/* Sums of 8 columns by R rows at each of C places.  All arguments but `at` and `pairs` are constants.  Without the
 * barriers compilers would reorder the additions and keep all weights live, which takes more registers than there
 * are. */
INLINE void tile(const int32_t *const *at, ptrdiff_t pitch, const int32_t *pairs, const int C,
                 const int R, const int K, const int S, __m256i (*sums)[ROWS])
{
    const int L = packed_rows_of(K, S), N = (S == 1 ? 2 : 1) * L,
              I = (int)first_packed_row(R - 1, S) + L;
    PQC_UNROLL(8)
    for (int i = 0; i < C * R; i++)
        sums[i / R][i % R] = _mm256_setzero_si256();
    PQC_UNROLL(8)
    for (int d = 0; d < pairs_of(K, S); d++) {
        __m256i w[PQC_DWCONV_MAX_KERNEL + 1], v[2];
        PQC_UNROLL(8)
        for (int i = 0; i < N; i++)
            w[i] = _mm256_set1_epi32(pairs[i * PITCH + d]);
        PQC_UNROLL(4)
        for (int i = 1; i < N; i += 2)
            PQC_KEEP_IN_REGISTERS(w[i - 1], w[i]);
        PQC_UNROLL(16)
        for (int i = 0; i < I; i++) {
            PQC_UNROLL(2)
            for (int c = 0; c < 2; c++)
                v[c] = load_words(at[c % C] + i * pitch + d);
            if (C == 2)
                PQC_KEEP_IN_REGISTERS(v[0], v[1]);
            else
                PQC_KEEP_IN_REGISTERS(v[0], w[0]);
            PQC_UNROLL(2)
            for (int c = 0; c < C; c++) {
                PQC_UNROLL(4)
                for (int r = 0; r < R; r++) {
                    int l = i - (int)first_packed_row(r, S), parity = S == 1 ? r % 2 : 0;
                    if (l >= 0 && l < L)
                        sums[c][r] = _mm256_add_epi32(sums[c][r],
                                                      _mm256_madd_epi16(v[c], w[parity * L + l]));
                    if (r % 2 == 1 && i >= first_packed_row(r - 1, S) &&
                        i < first_packed_row(r, S) + L)
                        PQC_KEEP_IN_REGISTERS(sums[c][r - 1], sums[c][r]);
                }
            }
        }
    }
}

/* A block of outputs, at least 8 columns wide. */
typedef struct {
    float *y;
    ptrdiff_t pitch, width, height;
} outputs;

/* Up to R rows of 8 columns, from each of C columns. */
INLINE void column_blocks(packed_rows from, const parameters *p, const int C, const int R,
                          const int K, const int S, const ptrdiff_t *column, outputs to)
{
    const output8 of = output8_of_channel(&p->to, 0);
    const int32_t *at[2];
    __m256i sums[2][ROWS];
    for (int c = 0; c < C; c++)
        at[c] = from.data + column[c];
    tile(at, from.pitch, p->pairs, C, R, K, S, sums);
    PQC_UNROLL(4)
    for (int r = 0; r < R; r++, to.y += to.pitch) {
        if (r == R - 1 && r >= to.height)
            break;
        PQC_UNROLL(2)
        for (int c = 0; c < C; c++)
            _mm256_storeu_ps(to.y + column[c], finish8(sums[c][r], of));
    }
}

/* Up to R rows of outputs. */
INLINE void rows(packed_rows from, const parameters *p, const int R, const int K, const int S,
                 outputs to)
{
    const int C = K == 7 && S == 1 ? 1 : 2;
    ptrdiff_t j = 0;
    for (; C == 2 && j + 8 < to.width; j += 16)
        column_blocks(from, p, 2, R, K, S, (ptrdiff_t[]){j, pqc_min(j + 8, to.width - 8)}, to);
    for (; j < to.width; j += 8)
        column_blocks(from, p, 1, R, K, S, (ptrdiff_t[]){pqc_min(j, to.width - 8)}, to);
}

INLINE void block(packed_rows from, const parameters *p, const int K, const int S, outputs to)
{
    for (; to.height > 2;
         to.height -= 4, to.y += 4 * to.pitch, from.data += first_packed_row(4, S) * from.pitch)
        rows(from, p, 4, K, S, to);
    if (to.height > 0)
        rows(from, p, 2, K, S, to);
}

/* Stores rows of fewer than 8 floats, which are 8 apart.  Where there is room a full vector is stored, and the next
 * row overwrites the excess. */
INLINE void store_narrow(const float *from, ptrdiff_t width, ptrdiff_t height, float *y,
                         const float *end)
{
    for (; height > 0 && end - y >= 8; height--, y += width, from += 8)
        _mm256_storeu_ps(y, _mm256_load_ps(from));
    for (; height > 0; height--, y += width, from += 8)
        for (ptrdiff_t i = 0; i < width; i++)
            y[i] = from[i];
}

INLINE unsigned plane(const pqc_dwconv_params *p, const int K, const int S)
{
    _Alignas(64) int32_t room[PACKED_ROOM];
    _Alignas(32) float narrow[NARROW * 8];
    const ptrdiff_t width = p->out_width, height = p->out_height;
    const float *end = p->to.y + height * width;
    packed_rows to = packed_rows_in(room, p, S);
    /* `most` must be even, because an odd number of output rows is rounded up. */
    ptrdiff_t room_for = PACKED_ROOM / to.pitch - packed_rows_of(K, S);
    ptrdiff_t most = S == 1 ? 2 * (room_for + 1) : (room_for / 2 + 1) / 2 * 2;
    parameters all = {.to = p->to};
    unsigned flags = 0;
    set_weights(p, K, S, all.pairs);
    if (width < 8)
        most = pqc_min(most, NARROW);
    for (ptrdiff_t i = 0; i < height; i += most) {
        ptrdiff_t count = pqc_min(height - i, most), even = (count + 1) / 2 * 2;
        float *y = p->to.y + i * width;
        flags |=
            fill_packed_rows(p, i * S, first_packed_row(even - 1, S) + packed_rows_of(K, S), to);
        block(to, &all, K, S,
              width < 8 ? (outputs){narrow, 8, 8, count} : (outputs){y, width, width, count});
        if (width < 8)
            store_narrow(narrow, width, count, y, end);
    }
    return flags;
}

AVX2 static unsigned plane3(const pqc_dwconv_params *p)
{
    return p->stride == 1 ? plane(p, 3, 1) : plane(p, 3, 2);
}

AVX2 static unsigned plane5(const pqc_dwconv_params *p)
{
    return p->stride == 1 ? plane(p, 5, 1) : plane(p, 5, 2);
}

AVX2 static unsigned plane7(const pqc_dwconv_params *p)
{
    return p->stride == 1 ? plane(p, 7, 1) : plane(p, 7, 2);
}

/* From the last channel to the first: what was read last, for the amax, may still be cached. */
AVX2 unsigned pqc_dwconv_u8s8_avx2(const pqc_dwconv_params *p)
{
    pqc_dwconv_params channel = *p;
    unsigned flags = 0;
    pqc_dwconv_move(&channel, p->channels);
    for (ptrdiff_t i = 0; i < p->channels; i++) {
        pqc_dwconv_move(&channel, -1);
        flags |= p->kernel == 3   ? plane3(&channel)
                 : p->kernel == 5 ? plane5(&channel)
                                  : plane7(&channel);
    }
    return flags;
}

#endif
