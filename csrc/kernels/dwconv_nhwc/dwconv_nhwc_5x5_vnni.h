/* Depthwise sums of 5 x 5 taps with AVX-512 VNNI.  An output takes seven products instead of the ten of whole columns: rows
 * 0 to 3 of each of five columns, four pixels of row 4, and the corner.  The four pixels from where one output's row 4
 * begins hold, as their first byte, the corner of the output that began four columns before.
 *
 * Two vectors of sums at a time: 32 channels of one row of outputs, or 16 channels of two rows.  Each of their halves has
 * half of a block of 16 channels: the first vector the lower halves, the second one the upper halves.
 *
 * Who includes it defines before
 *
 *   results        `at`, where the first output of a row goes, and `row`, the distance to the next one
 *   store_outputs  (first, second, &results, ROWS): stores two neighbouring outputs, or one if `second` is NULL, and
 *                  moves `at` behind them */
#ifndef PQC_DWCONV_NHWC_5X5_VNNI_H
#define PQC_DWCONV_NHWC_5X5_VNNI_H

#include "dwconv_nhwc_vnni.h"

enum { KERNEL = 5 };

/* From the first block of 16 channels to the second one, in numbers: of two rows it is the same one. */
INLINE ptrdiff_t distance(const int ROWS)
{
    return ROWS == 1 ? BLOCK : 0;
}

/* Dwords of two blocks, the second one `apart` dwords from the first. */
INLINE sums load_blocks(const void *from, ptrdiff_t apart)
{
    const char *low = from, *high = low + 4 * apart;
    sums x;
    PQC_UNROLL(2)
    for (int i = 0; i < VECTORS; i++)
        x.v[i] = _mm512_inserti64x4(
            _mm512_castsi256_si512(
                _mm256_loadu_si256((const __m256i *)(const void *)(low + 32 * i))),
            _mm256_loadu_si256((const __m256i *)(const void *)(high + 32 * i)), 1);
    return x;
}

/* What all outputs of a row, or of two, share.  `apart`: bytes from one block of 16 channels to the other. */
typedef struct {
    ptrdiff_t tap_row, tap_pixel, columns, apart;
    sums begin;
    taps column[KERNEL], row, corner;
} row_job;

/* The bytes of both blocks. */
INLINE __m256i load_pixel(const uint8_t *x, ptrdiff_t apart, const int ROWS)
{
    if (ROWS == 1)
        return _mm256_loadu_si256((const __m256i *)(const void *)x);
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)x)),
        _mm_loadu_si128((const __m128i *)(const void *)(x + apart)), 1);
}

/* Two pixels, `step` bytes from one to the other. */
INLINE __m512i load_two(const uint8_t *x, ptrdiff_t step, ptrdiff_t apart, const int ROWS)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(load_pixel(x, apart, ROWS)),
                              load_pixel(x + step, apart, ROWS), 1);
}

/* Pixels 0 and 2, and 1 and 3, as dwords of their bytes. */
INLINE column interleave_four(__m512i even, __m512i odd)
{
    const __m512i words = _mm512_setr_epi32(
        0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005, 0x160006, 0x170007, 0x180008,
        0x190009, 0x1a000a, 0x1b000b, 0x1c000c, 0x1d000d, 0x1e000e, 0x1f000f);
    return (column){{_mm512_permutexvar_epi16(words, _mm512_unpacklo_epi8(even, odd)),
                     _mm512_permutexvar_epi16(words, _mm512_unpackhi_epi8(even, odd))}};
}

/* Outputs of a row that have begun and are not yet complete: sums[0] is the last one.  `even` has pixels 0 and 2 of row 4
 * of the next step, if its stride is 1. */
typedef struct {
    sums sums[KERNEL];
    __m512i even;
} row_state;

/* Adds the columns of one step, from where one output of a row begins to where the next one does, to every output over
 * them.  `next` and `ahead` are the distances to the second column and, beyond it, between the pixels of row 4: zero where
 * what lies there is read by no output that exists. */
INLINE void take_columns(const row_job *g, row_state *open, const uint8_t *x, ptrdiff_t next,
                         ptrdiff_t ahead, const int STRIDE, const int ROWS)
{
    const int oldest = (KERNEL - 1) / STRIDE;
    PQC_UNROLL(4)
    for (int d = oldest; d > 0; d--)
        open->sums[d] = open->sums[d - 1];
    open->sums[0] = g->begin;
    PQC_UNROLL(2)
    for (int s = 0; s < STRIDE; s++) {
        const uint8_t *top = x + s * next;
        column here = interleave_four(load_two(top, 2 * g->tap_row, g->apart, ROWS),
                                      load_two(top + g->tap_row, 2 * g->tap_row, g->apart, ROWS));
        PQC_UNROLL(5)
        for (int d = 0; d <= oldest; d++)
            if (STRIDE * d + s < KERNEL)
                add_column(&open->sums[d], &here, &g->column[STRIDE * d + s], 4, VECTORS);
    }
    const uint8_t *bottom = x + 4 * g->tap_row;
    __m512i odd = load_two(bottom + next, 2 * ahead, g->apart, ROWS);
    __m512i even = STRIDE == 1 ? open->even : load_two(bottom, 2 * ahead, g->apart, ROWS);
    column row = interleave_four(even, odd);
    open->even = odd;
    add_column(&open->sums[0], &row, &g->row, 4, VECTORS);
    add_column(&open->sums[oldest], &row, &g->corner, 4, VECTORS);
}

/* Step n of a row that begins at x and has `columns` outputs; INSIDE: of which output n is one. */
INLINE void take_step(const row_job *g, row_state *open, const uint8_t *x, ptrdiff_t n,
                      const bool INSIDE, const int STRIDE, const int ROWS)
{
    const int oldest = (KERNEL - 1) / STRIDE;
    ptrdiff_t next = INSIDE || n < g->columns + oldest - 1 ? g->tap_pixel : 0;
    ptrdiff_t ahead = INSIDE || n < g->columns ? g->tap_pixel : 0;
    take_columns(g, open, x + n * STRIDE * g->tap_pixel, next, ahead, STRIDE, ROWS);
}

/* Pairs of steps from `first` to at most `stop`, each of which completes an output; returns where it stops. */
INLINE ptrdiff_t take_pairs(const row_job *g, row_state *open, const uint8_t *x, ptrdiff_t first,
                            ptrdiff_t stop, results *to, const bool INSIDE, const int STRIDE,
                            const int ROWS)
{
    const int oldest = (KERNEL - 1) / STRIDE;
    ptrdiff_t n = first;
    for (; n + 2 <= stop; n += 2) {
        take_step(g, open, x, n, INSIDE, STRIDE, ROWS);
        sums done = open->sums[oldest];
        take_step(g, open, x, n + 1, INSIDE, STRIDE, ROWS);
        store_outputs(&done, &open->sums[oldest], to, ROWS);
    }
    return n;
}

/* One row of outputs, or two. */
INLINE void sum_row(const row_job *g, const uint8_t *x, results to, const int STRIDE,
                    const int ROWS)
{
    const int oldest = (KERNEL - 1) / STRIDE;
    const ptrdiff_t steps = g->columns + oldest;
    row_state open = {.even = load_two(x + 4 * g->tap_row, 2 * g->tap_pixel, g->apart, ROWS)};
    PQC_UNROLL(5)
    for (int d = 0; d <= oldest; d++)
        open.sums[d] = g->begin;
    for (ptrdiff_t n = 0; n < oldest; n++)
        take_step(g, &open, x, n, false, STRIDE, ROWS);
    ptrdiff_t n = take_pairs(g, &open, x, oldest, g->columns, &to, true, STRIDE, ROWS);
    n = take_pairs(g, &open, x, n, steps, &to, false, STRIDE, ROWS);
    if (n == steps)
        return;
    take_step(g, &open, x, n, false, STRIDE, ROWS);
    store_outputs(&open.sums[oldest], NULL, &to, ROWS);
}

/* Taps in the order of pqc_dwconv_nhwc_params: of each column four rows and then one, which is followed by zeros. */
INLINE void load_taps(row_job *job, const int8_t *w, ptrdiff_t pitch, ptrdiff_t apart)
{
    PQC_UNROLL(5)
    for (int b = 0; b < KERNEL; b++)
        job->column[b] = load_blocks(w + 2 * b * pitch, apart);
    job->row = load_blocks(w + pitch, apart);
    job->corner = load_blocks(w + 9 * pitch, apart);
    PQC_UNROLL(3)
    for (unsigned b = 1; b < KERNEL - 1; b++) {
        taps tap = load_blocks(w + (2 * b + 1) * pitch, apart);
        PQC_UNROLL(2)
        for (int i = 0; i < VECTORS; i++)
            job->row.v[i] = _mm512_or_si512(job->row.v[i], _mm512_slli_epi32(tap.v[i], 8 * b));
    }
}

/* 32 channels from `channel`, row by row, or 16 channels, two rows at a time; of an odd number the last one twice. */
INLINE void sum_5x5(const pqc_dwconv_nhwc_params *g, ptrdiff_t channel, results to,
                    const int STRIDE, const int ROWS)
{
    const ptrdiff_t apart = distance(ROWS);
    row_job job = {.tap_row = g->tap_row,
                   .tap_pixel = g->tap_pixel,
                   .columns = g->columns,
                   .apart = g->step_row,
                   .begin = load_blocks(g->compensation + channel, apart)};
    load_taps(&job, g->w + 4 * channel, g->w_pitch, apart);
    const uint8_t *x = g->x + channel;
    for (ptrdiff_t i = 0; i < g->rows; i += ROWS) {
        if (ROWS == 2 && i + 1 == g->rows)
            job.apart = to.row = 0;
        sum_row(&job, x, to, STRIDE, ROWS);
        x += ROWS * g->step_row;
        to.at += ROWS * to.row;
    }
}

#endif
