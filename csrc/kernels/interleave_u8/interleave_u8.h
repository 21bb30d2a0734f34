/* Planes of bytes to pixels, whose channels lie together: y[i * channels + c] = plane[c][i] for i < n.
 *
 *   channels  1 to 4
 *
 * n may be 0; no overlap. */
#ifndef PQC_INTERLEAVE_U8_H
#define PQC_INTERLEAVE_U8_H

#include "pqc.h"

enum { PQC_MAX_INTERLEAVED = 4 };

typedef void pqc_interleave_u8_fn(const uint8_t *const *plane, int channels, ptrdiff_t n,
                                  uint8_t *restrict y);

pqc_interleave_u8_fn pqc_interleave_u8_scalar, pqc_interleave_u8_avx2, pqc_interleave_u8_neon;

/* The remaining pixels, from `first`. */
static inline void pqc_interleave_u8_rest(const uint8_t *const *plane, int channels,
                                          ptrdiff_t first, ptrdiff_t n, uint8_t *restrict y)
{
    for (ptrdiff_t i = first; i < n; i++)
        for (int c = 0; c < channels; c++)
            y[i * channels + c] = plane[c][i];
}

#endif
