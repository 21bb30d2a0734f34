/* How depthwise sums become codes of one byte with AVX-512 VNNI, four vectors at a time. */
#ifndef PQC_DWCONV_NHWC_CODES_VNNI_H
#define PQC_DWCONV_NHWC_CODES_VNNI_H

#include "finish_nhwc/finish_nhwc_swish_avx512.h"

#include "dwconv_nhwc_vnni.h"

/* PLAIN and RAW as finish_plain_packed does, or SWISH. */
typedef enum { PLAIN, RAW, SWISH } kind;

typedef struct {
    char *at;
    ptrdiff_t row, pixel;
    output16 of[4];
    __mmask64 lanes;
    finish_target codes;
    finish_swish quick; /* used if kind is SWISH */
    kind made;
} results;

/* Results of channels from `channel`, at most `most` of them; `of` is still to be set. */
INLINE results results_from(const pqc_output *f, ptrdiff_t row, ptrdiff_t channel, int channels,
                            const kind MADE, int most)
{
    finish_pixels first = {.channel = channel};
    results to = {.lanes = finish_lanes((int)pqc_min(channels - channel, most)),
                  .row = row,
                  .codes = finish_target_of(&first, f, PQC_U8_CODES),
                  .made = MADE};
    if (MADE == SWISH)
        to.quick = finish_swish_of(f);
    to.at = to.codes.row.at;
    to.pixel = to.codes.row.pixel;
    return to;
}

/* Bytes of four vectors, packed lane by lane. */
INLINE __m512i packed(const __m512 *y, const results *to)
{
    return to->made == RAW     ? finish_raw_packed(y, to->codes.mul)
           : to->made == SWISH ? finish_swish_packed(y, &to->quick, &to->codes)
                               : finish_plain_packed(y, &to->codes);
}

/* The 5 x 5 taps of dwconv_nhwc_codes_5x5_vnni.c. */
pqc_dwconv_nhwc_codes_fn pqc_dwconv_nhwc_codes_5x5_vnni;

#endif
