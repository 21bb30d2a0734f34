/* The output stage over stored sums, with AVX-512. */
#ifndef PQC_FINISH_NHWC_RUN_AVX512_H
#define PQC_FINISH_NHWC_RUN_AVX512_H

#include "finish_nhwc_swish_avx512.h"

/* P pixels of V vectors at a time, P * V = 4.  The last step overlaps the one before instead of being shorter; that
 * gives the same results in place too, since all loads come before the stores.  INDIRECT: there are offsets. */
FINISH_INLINE void finish_plain(const finish_pixels *where, int first, int stop, const int P,
                                const int V, const bool INDIRECT, int channels, const pqc_output *f,
                                const int RESIDUAL, const int CODES)
{
    const int32_t *acc = where->acc;
    const uint8_t *rows = where->row;
    ptrdiff_t ld = where->ld;
    __mmask64 lanes = finish_lanes(channels);
    const bool swish = CODES == FINISH_BYTES && RESIDUAL == PQC_NOTHING && f->known & PQC_SWISH;
    bool hard_swish = f->hard_swish;
    pqc_linear_map affine = f->affine;
    pqc_pixels between = f->between;
    finish_source from = finish_source_of(where, f);
    finish_target bytes = finish_target_of(where, f, PQC_U8_CODES);
    finish_target words = finish_target_of(where, f, PQC_S16_CODES);
    finish_swish quick = {.f = f};
    output16 of[4];
    if (swish)
        quick = finish_swish_of(f);
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++) {
        ptrdiff_t channel = where->channel + 16 * v;
        of[v] = output16_load(f->scale + channel, f->bias + channel, (__mmask16)(lanes >> 16 * v));
    }
    for (; first < stop; first += P) {
        __m512 y[4];
        char *at[3][4];
        PQC_UNROLL(4)
        for (int p = 0; p < P; p++) {
            ptrdiff_t pixel = p == 0 ? first : pqc_min(first + p, stop - 1);
            const int32_t *sums = acc + ld * (INDIRECT ? rows[pixel] : pixel);
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                y[p * V + v] = finish16(
                    _mm512_maskz_loadu_epi32((__mmask16)(lanes >> 16 * v), sums + 16 * v), of[v]);
            if (RESIDUAL != PQC_NOTHING)
                at[0][p] = finish_at_and_fetch(&from.row, INDIRECT, pixel);
            if (CODES & FINISH_BYTES)
                at[1][p] = finish_at_and_fetch(&bytes.row, INDIRECT, pixel);
            if (CODES & FINISH_WORDS)
                at[2][p] = finish_at_and_fetch(&words.row, INDIRECT, pixel);
        }
        if (CODES == FINISH_BYTES && RESIDUAL == PQC_NOTHING && swish) {
            finish_store_plain_bytes(finish_swish_packed(y, &quick, &bytes), P, lanes, at[1]);
            continue;
        }
        if (hard_swish)
            finish_plain_hard_swish(y);
        if (affine.there)
            finish_affine(y, 4, &affine);
        if (RESIDUAL != PQC_NOTHING && between.content != PQC_NOTHING)
            finish_requantize(y, 4, &between);
        if (RESIDUAL != PQC_NOTHING)
            finish_plain_add(y, P, V, RESIDUAL, lanes, &from, at[0]);
        if (CODES & FINISH_WORDS)
            finish_plain_words(y, P, V, lanes, &words, at[2]);
        if (CODES & FINISH_BYTES)
            finish_plain_bytes(y, P, lanes, &bytes, at[1]);
    }
}

/* Calls finish_plain with the contents as constants. */
FINISH_INLINE void finish_plain_codes(const finish_pixels *pixels, int first, int stop, const int P,
                                      const int V, const bool INDIRECT, int channels,
                                      const pqc_output *f, const int RESIDUAL)
{
    bool bytes = f->output[0].content == PQC_U8_CODES;
    if (f->outputs == 2)
        finish_plain(pixels, first, stop, P, V, INDIRECT, channels, f, RESIDUAL,
                     FINISH_BYTES + FINISH_WORDS);
    else if (bytes)
        finish_plain(pixels, first, stop, P, V, INDIRECT, channels, f, RESIDUAL, FINISH_BYTES);
    else
        finish_plain(pixels, first, stop, P, V, INDIRECT, channels, f, RESIDUAL, FINISH_WORDS);
}

FINISH_INLINE void finish_plain_residual(const finish_pixels *pixels, int first, int stop,
                                         const int P, const int V, const bool INDIRECT,
                                         int channels, const pqc_output *f)
{
    if (f->residual.content == PQC_NOTHING)
        finish_plain_codes(pixels, first, stop, P, V, INDIRECT, channels, f, PQC_NOTHING);
    else if (f->residual.content == PQC_U8_CODES)
        finish_plain_codes(pixels, first, stop, P, V, INDIRECT, channels, f, PQC_U8_CODES);
    else
        finish_plain_codes(pixels, first, stop, P, V, INDIRECT, channels, f, PQC_S16_CODES);
}

/* The results of pixels `first` to `stop`, at most 64 channels; with INDIRECT at most 32, and there are offsets. */
FINISH_INLINE void finish_run(const finish_pixels *pixels, int first, int stop, const bool INDIRECT,
                              int channels, const pqc_output *f, finish_refused *r)
{
    if (!(f->known & PQC_PLAIN))
        finish_general(pixels, first, stop, INDIRECT, channels, f, r);
    else if (!INDIRECT && channels > 32)
        finish_plain_residual(pixels, first, stop, 1, 4, INDIRECT, channels, f);
    else if (channels > 16)
        finish_plain_residual(pixels, first, stop, 2, 2, INDIRECT, channels, f);
    else
        finish_plain_residual(pixels, first, stop, 4, 1, INDIRECT, channels, f);
}

#endif
