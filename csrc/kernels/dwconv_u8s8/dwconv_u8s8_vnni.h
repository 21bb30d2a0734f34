/* Outputs of one channel from padded rows of bytes, with AVX-512 VNNI: dwords of four neighbouring bytes times four
 * taps.  Rows are contiguous, so the bytes of the rows before and after are masked out.  Only above and below the
 * image do rows of `zero` bytes exist. */
#ifndef PQC_DWCONV_U8S8_VNNI_H
#define PQC_DWCONV_U8S8_VNNI_H

#include "dwconv_u8s8.h"

#if PQC_X86
#include "requantize/requantize_avx512.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

/* An input row is read once for all ROWS outputs that use it.  A tile reads up to BEFORE bytes in front of a row and
 * up to BEHIND bytes past its end. */
enum {
    ROWS = 7,
    STEPS = 2 * PQC_DWCONV_MAX_KERNEL,
    TILES = PQC_DWCONV_MAX_WIDTH / 14 + 1,
    BEFORE = 64,
    BEHIND = 64
};

/* A tile: outputs of a row that are computed together.  `at` is the distance of their first byte from the row's
 * (arbitrary if they use none of its bytes).  `inside` masks the bytes of their dwords that lie in the row, for the
 * first four taps and for the rest.  `lanes` masks the lanes that are outputs; `start` is the index of the channel's
 * initial sums. */
typedef struct {
    uint64_t inside[2];
    ptrdiff_t at;
    uint16_t lanes, start;
} tile_place;

typedef struct {
    __m512i dwords, bytes, zero;
    tile_place tile[TILES];
    int tiles, starts; /* starts: number of tiles that lie partly outside */
} row_layout;

/* The initial sums make `zero` bytes contribute nothing: the first for tiles entirely inside, then one for each other
 * tile. */
typedef struct {
    __m512i w[STEPS];
    output16 of;
    __m512i start[TILES + 1];
} channel;

/* A mask of the bytes of a tile whose distances from its first lie in [low, high). */
INLINE uint64_t between(__m512i places, ptrdiff_t low, ptrdiff_t high)
{
    __m512i from = _mm512_set1_epi8((char)pqc_clamp(low, 0, BEFORE));
    __m512i to = _mm512_set1_epi8((char)pqc_clamp(high, 0, BEFORE));
    return _mm512_cmpge_epi8_mask(places, from) & _mm512_cmplt_epi8_mask(places, to);
}

/* Sets up a row; S is the stride.  The dwords of 16 pixels are permuted out of bytes in two steps: each 128-bit lane
 * gets the 16 bytes from its first pixel (with SAME, all lanes get the same 16, which is enough for 14 pixels and 3
 * taps), then bytes move within lanes. */
INLINE void lay_out(const pqc_dwconv_params *p, const int S, const bool SAME, row_layout *l)
{
    const __m512i pixel = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i taps = _mm512_set1_epi32(0x03020100), times = _mm512_set1_epi32(S * 0x01010101);
    __m512i within = _mm512_and_si512(pixel, _mm512_set1_epi32(3));
    __m512i lane = _mm512_srli_epi32(pixel, 2);
    __m512i places = _mm512_add_epi32(_mm512_mullo_epi32(pixel, times), taps);
    __m512i next = _mm512_add_epi8(places, _mm512_set1_epi8(4));
    l->dwords = _mm512_add_epi32(S == 1 ? lane : _mm512_add_epi32(lane, lane), within);
    l->bytes = SAME ? places : _mm512_add_epi32(_mm512_mullo_epi32(within, times), taps);
    l->zero = _mm512_set1_epi8((char)p->q.zero);
    l->tiles = l->starts = 0;
    for (ptrdiff_t j = 0; j < p->out_width; j += SAME ? 14 : 16) {
        tile_place *t = &l->tile[l->tiles++];
        ptrdiff_t at = j * S - p->left, left = p->out_width - j;
        t->inside[0] = between(places, -at, p->width - at);
        t->inside[1] = between(next, -at, p->width - at);
        t->at = pqc_clamp(at, -BEFORE, p->width);
        t->lanes = left >= 16 ? 0xffff : tail16(SAME ? pqc_min(left, 14) : left);
        t->start = (t->inside[0] & t->inside[1]) == UINT64_MAX ? 0 : (uint16_t)++l->starts;
    }
}

INLINE __m512i start_of(const __m512i *w, const int K, __m512i zero, const uint64_t *inside)
{
    const int steps = (K + 3) / 4;
    __m512i sum = _mm512_setzero_si512();
    PQC_UNROLL(16)
    for (int i = 0; i < K * steps; i++)
        sum = _mm512_dpbusd_epi32(sum, _mm512_maskz_mov_epi8(inside[i % steps], zero), w[i]);
    return _mm512_sub_epi32(_mm512_setzero_si512(), sum);
}

/* Loads the weights of the first channel of p; K is the size of the kernel. */
INLINE void set_channel(const pqc_dwconv_params *p, const row_layout *l, const int K, channel *c)
{
    static const uint64_t all[2] = {UINT64_MAX, UINT64_MAX};
    PQC_UNROLL(16)
    for (int i = 0; i < K * ((K + 3) / 4); i++) {
        int32_t taps;
        memcpy(&taps, p->taps + i * p->taps_step, sizeof taps);
        c->w[i] = _mm512_set1_epi32(taps);
    }
    c->of = output16_of_channel(&p->to, 0);
    if (l->starts < l->tiles)
        c->start[0] = start_of(c->w, K, l->zero, all);
    for (int i = 0; i < l->tiles; i++)
        if (l->tile[i].start != 0)
            c->start[l->tile[i].start] = start_of(c->w, K, l->zero, l->tile[i].inside);
}

INLINE __m512i window_at(const uint8_t *x, const bool SAME, __m512i dwords)
{
    if (SAME)
        return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)x));
    return _mm512_permutexvar_epi32(dwords, _mm512_loadu_si512(x));
}

/* Sums of R rows of a tile whose inputs begin at x.  Capitals are constants. */
INLINE void sum_up(const uint8_t *x, ptrdiff_t pitch, const tile_place *t, const row_layout *l,
                   const channel *c, const int R, const int K, const int S, const bool SAME,
                   __m512i *sums)
{
    const int steps = (K + 3) / 4;
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++)
        sums[r] = c->start[t->start];
    PQC_UNROLL(32)
    for (int i = 0; i < (R - 1) * S + K; i++) {
        __m512i window = window_at(x + i * pitch, SAME, l->dwords);
        PQC_UNROLL(2)
        for (int step = 0; step < steps; step++) {
            __m512i bytes = _mm512_add_epi8(l->bytes, _mm512_set1_epi8((char)(4 * step)));
            __m512i c4 = _mm512_maskz_shuffle_epi8(t->inside[step], window, bytes);
            PQC_UNROLL(8)
            for (int r = 0; r < R; r++)
                if (i - r * S >= 0 && i - r * S < K)
                    sums[r] = _mm512_dpbusd_epi32(sums[r], c4, c->w[(i - r * S) * steps + step]);
        }
    }
}

/* Output rows of one channel. */
typedef struct {
    const uint8_t *x; /* first padded row */
    ptrdiff_t pitch;
    float *y;
    ptrdiff_t width, height;
    uintptr_t next_x, next_y; /* next inputs and outputs to prefetch, or 0 */
} outputs;

/* Inline: GCC may treat a function that only prefetches as empty and drop its calls. */
INLINE void prefetch_ahead(uintptr_t at, ptrdiff_t begin, ptrdiff_t end)
{
    for (uintptr_t i = at + 4 * (uintptr_t)begin; i < at + 4 * (uintptr_t)end; i += 64)
        _mm_prefetch((const char *)i, _MM_HINT_T1);
}

/* R rows at a time; the last step moves back to be full.  Lanes that are not outputs are overwritten by the next
 * tile. */
INLINE void store_outputs(outputs to, const row_layout *l, const channel *c, const int R,
                          const int K, const int S, const bool SAME)
{
    const int tiles = l->tiles;
    for (ptrdiff_t i = 0; i < to.height; i += R) {
        ptrdiff_t row = pqc_min(i, to.height - R);
        const uint8_t *x = to.x + row * S * to.pitch;
        float *y = to.y + row * to.width;
        if (to.next_x != 0) {
            prefetch_ahead(to.next_x, i * S * to.pitch, (i + R) * S * to.pitch);
            prefetch_ahead(to.next_y, i * to.width, (i + R) * to.width);
        }
        for (int j = 0; j < tiles; j++, y += SAME ? 14 : 16) {
            const tile_place t = l->tile[j];
            __m512i sums[ROWS];
            sum_up(x + t.at, to.pitch, &t, l, c, R, K, S, SAME, sums);
            PQC_UNROLL(8)
            for (int r = 0; r < R; r++) {
                _mm512_mask_storeu_ps(y + r * to.width, t.lanes, finish16(sums[r], c->of));
            }
        }
    }
}

#endif
#endif
