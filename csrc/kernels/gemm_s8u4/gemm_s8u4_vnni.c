/* Products of s8 rows with 4-bit weights that have a scale per group, to float32, with AVX-512 VNNI; see gemm_s8u4.h. */
#include "gemm_s8u4.h"

#if PQC_X86
#include "gemm_s8u4_avx512.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

enum { PREFETCH = 8192 }; /* in bytes: a single row consumes weights as fast as they arrive */

INLINE __m512i broadcast_four(const int8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, 4);
    return _mm512_set1_epi32(bytes);
}

/* The initial sums, from the zero points, of R rows in group g of a panel. */
INLINE void begin(const pqc_gemm_s8u4_params *p, ptrdiff_t panel, ptrdiff_t g, const int R,
                  const bool plain, __m512i *sums)
{
    if (plain) {
        PQC_UNROLL(12)
        for (int r = 0; r < R; r++)
            sums[r] = _mm512_set1_epi32(p->starts[g * R + r]);
        return;
    }
    const int32_t *x_sums = p->x_sums + g * R;
    ptrdiff_t at = (panel * p->groups + g) * PQC_U4_NR;
    __m512i from = _mm512_setzero_si512();
    if (p->weight_sums)
        from = _mm512_mullo_epi32(_mm512_set1_epi32(p->x_zero),
                                  _mm512_loadu_si512(p->weight_sums + at));
    if (p->zeros) {
        __m512i zeros =
            _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p->zeros + at)));
        PQC_UNROLL(12)
        for (int r = 0; r < R; r++)
            sums[r] =
                _mm512_sub_epi32(from, _mm512_mullo_epi32(zeros, _mm512_set1_epi32(x_sums[r])));
        return;
    }
    PQC_UNROLL(12)
    for (int r = 0; r < R; r++)
        sums[r] = _mm512_sub_epi32(
            from, _mm512_set1_epi32((int32_t)((uint32_t)p->zero * (uint32_t)x_sums[r])));
}

/* Eight k of R rows times a panel. */
INLINE void step(const int8_t *x, const uint8_t *w, const int R, __m512i *low, __m512i *high)
{
    const __m512i half = _mm512_set1_epi8(15);
    __m512i both = _mm512_loadu_si512(w);
    if (R == 1)
        _mm_prefetch((const char *)w + PREFETCH, _MM_HINT_T0);
    __m512i first = _mm512_and_si512(both, half);
    __m512i second = _mm512_and_si512(_mm512_srli_epi16(both, 4), half);
    PQC_KEEP_IN_REGISTER(first);
    PQC_KEEP_IN_REGISTER(second);
    PQC_UNROLL(12)
    for (int r = 0; r < R; r++) {
        low[r] = _mm512_dpbusd_epi32(low[r], first, broadcast_four(x + 4 * r));
        high[r] = _mm512_dpbusd_epi32(high[r], second, broadcast_four(x + 4 * (R + r)));
    }
}

/* The sums of a group.  A single row uses four accumulators in turn, few rows two, since each product waits for the
 * one before. */
INLINE void group(const int8_t *x, const uint8_t *w, ptrdiff_t steps, const int R, __m512i *sums)
{
    const int turns = R == 1 ? 4 : R <= 4 ? 2 : 1;
    __m512i more[12];
    PQC_UNROLL(12)
    for (int i = 0; i < (turns - 1) * R; i++)
        more[i] = _mm512_setzero_si512();
    for (ptrdiff_t i = 0; i + 1 < steps; i += 2, x += 16 * R, w += 128) {
        step(x, w, R, sums, turns > 1 ? more : sums);
        step(x + 8 * R, w + 64, R, turns > 2 ? more + R : sums,
             turns > 2   ? more + 2 * R
             : turns > 1 ? more
                         : sums);
    }
    if (steps % 2 != 0)
        step(x, w, R, sums, turns > 1 ? more : sums);
    PQC_UNROLL(12)
    for (int i = 0; i < (turns - 1) * R; i++)
        sums[i % R] = _mm512_add_epi32(sums[i % R], more[i]);
}

/* Panels from `channel`. */
INLINE void panels(const pqc_gemm_s8u4_params *p, const int R, ptrdiff_t steps, const bool plain,
                   ptrdiff_t channel)
{
    const ptrdiff_t bytes = pqc_u4_group_bytes(8 * steps), count = p->groups;
    const uint8_t *w = p->w + channel / PQC_U4_NR * count * bytes;
    for (; channel < p->channels; channel += PQC_U4_NR) {
        __m512 acc[12];
        __m512i sums[12];
        PQC_UNROLL(12)
        for (int r = 0; r < R; r++) {
            acc[r] = _mm512_setzero_ps();
            sums[r] = _mm512_setzero_si512();
        }
        for (ptrdiff_t g = 0; g < count; g++, w += bytes) {
            begin(p, channel / PQC_U4_NR, g, R, plain, sums);
            group(p->x + 8 * steps * R * g, w, steps, R, sums);
            __m512 scale = _mm512_loadu_ps(w + 64 * steps);
            if (R == 1)
                _mm_prefetch((const char *)w + 64 * steps + PREFETCH, _MM_HINT_T0);
            PQC_UNROLL(12)
            for (int r = 0; r < R; r++)
                acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), scale, acc[r]);
        }
        PQC_UNROLL(12)
        for (int r = 0; r < R; r++)
            u4_store16(p, channel, r, sums[r], acc[r]);
    }
}

/* Eight k of R rows, out of `rows` interleaved ones, times two panels: each four codes of a row are loaded once for
 * both. */
INLINE void step_of_two(const int8_t *x, const int rows, const uint8_t *w, ptrdiff_t next,
                        const int R, __m512i *sums)
{
    const __m512i half = _mm512_set1_epi8(15);
    __m512i one = _mm512_loadu_si512(w), other = _mm512_loadu_si512(w + next);
    PQC_KEEP_IN_REGISTER(one);
    PQC_KEEP_IN_REGISTER(other);
    __m512i low = _mm512_and_si512(one, half), other_low = _mm512_and_si512(other, half);
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(one, 4), half);
    __m512i other_high = _mm512_and_si512(_mm512_srli_epi16(other, 4), half);
    PQC_KEEP_IN_REGISTER(low);
    PQC_KEEP_IN_REGISTER(high);
    PQC_KEEP_IN_REGISTER(other_low);
    PQC_KEEP_IN_REGISTER(other_high);
    PQC_UNROLL(6)
    for (int r = 0; r < R; r++) {
        __m512i four = broadcast_four(x + 4 * r);
        sums[r] = _mm512_dpbusd_epi32(sums[r], low, four);
        sums[R + r] = _mm512_dpbusd_epi32(sums[R + r], other_low, four);
    }
    PQC_UNROLL(6)
    for (int r = 0; r < R; r++) {
        __m512i four = broadcast_four(x + 4 * (rows + r));
        sums[r] = _mm512_dpbusd_epi32(sums[r], high, four);
        sums[R + r] = _mm512_dpbusd_epi32(sums[R + r], other_high, four);
    }
}

/* R rows starting at `row`, times the two panels starting at `channel`; there is at most one zero point. */
INLINE void two_panels(const pqc_gemm_s8u4_params *p, ptrdiff_t channel, const int rows,
                       const int row, const int R, ptrdiff_t steps)
{
    const ptrdiff_t bytes = pqc_u4_group_bytes(8 * steps), next = p->groups * bytes;
    const uint8_t *w = p->w + channel / PQC_U4_NR * next;
    const int8_t *x = p->x + 4 * row;
    const int32_t *starts = p->starts + row;
    __m512 acc[12];
    __m512i sums[12];
    PQC_UNROLL(12)
    for (int r = 0; r < 2 * R; r++) {
        acc[r] = _mm512_setzero_ps();
        sums[r] = _mm512_setzero_si512();
    }
    for (ptrdiff_t g = 0; g < p->groups; g++, w += bytes, starts += rows) {
        PQC_UNROLL(6)
        for (int r = 0; r < R; r++)
            sums[r] = sums[R + r] = _mm512_set1_epi32(starts[r]);
        for (ptrdiff_t i = 0; i < steps; i++, x += 8 * rows)
            step_of_two(x, rows, w + 64 * i, next, R, sums);
        __m512 scale = _mm512_loadu_ps(w + 64 * steps);
        __m512 other = _mm512_loadu_ps(w + 64 * steps + next);
        PQC_UNROLL(6)
        for (int r = 0; r < R; r++) {
            acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), scale, acc[r]);
            acc[R + r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[R + r]), other, acc[R + r]);
        }
    }
    PQC_UNROLL(6)
    for (int r = 0; r < R; r++) {
        u4_store16(p, channel, row + r, sums[r], acc[r]);
        u4_store16(p, channel + PQC_U4_NR, row + r, sums[R + r], acc[R + r]);
    }
}

/* Pairs of panels, for rows that take two passes; returns the number of channels done. */
INLINE ptrdiff_t pairs(const pqc_gemm_s8u4_params *p, const int R, ptrdiff_t steps)
{
    const int first = R > 6 ? (R + 1) / 2 : R, second = R - first;
    ptrdiff_t channel = 0;
    for (; channel + PQC_U4_NR < p->channels; channel += 2 * PQC_U4_NR) {
        two_panels(p, channel, R, 0, first, steps);
        if (second > 0)
            two_panels(p, channel, R, first, second, steps);
    }
    return channel;
}

typedef void body_fn(const pqc_gemm_s8u4_params *p);

enum { PAIRS = 4 }; /* rows from which pairs of panels are faster */

/* The loop for groups of 32 is unrolled; zero points are tested once. */
#define BODY(R)                                                                                    \
    VNNI static void rows_##R(const pqc_gemm_s8u4_params *p)                                       \
    {                                                                                              \
        if (p->zeros || p->weight_sums)                                                            \
            panels(p, R, p->length / PQC_U4_KR, false, 0);                                         \
        else if (p->length == 32)                                                                  \
            panels(p, R, 4, true, R < PAIRS ? 0 : pairs(p, R, 4));                                 \
        else                                                                                       \
            panels(p, R, p->length / PQC_U4_KR, true,                                              \
                   R < PAIRS ? 0 : pairs(p, R, p->length / PQC_U4_KR));                            \
    }

BODY(1)
BODY(2)
BODY(3)
BODY(4)
BODY(5)
BODY(6)
BODY(7)
BODY(8)
BODY(9)
BODY(10)
BODY(11)
BODY(12)

static body_fn *const bodies[] = {rows_1, rows_2, rows_3, rows_4,  rows_5,  rows_6,
                                  rows_7, rows_8, rows_9, rows_10, rows_11, rows_12};

VNNI void pqc_gemm_s8u4_vnni(const pqc_gemm_s8u4_params *p)
{
    if (p->rows > 0)
        bodies[p->rows - 1](p);
}

#endif
