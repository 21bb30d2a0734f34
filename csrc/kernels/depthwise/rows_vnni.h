/* Padded rows of one channel as bytes, for the AVX-512 VNNI body. */
#ifndef PQC_DEPTHWISE_ROWS_VNNI_H
#define PQC_DEPTHWISE_ROWS_VNNI_H

#include "depthwise.h"

enum { PQC_DEPTHWISE_UNIT = 16 };

/* Bytes from a row to the next: one unit, two or a multiple of four, as 64 bytes are written at a time. */
static inline ptrdiff_t pqc_depthwise_pitch(ptrdiff_t columns)
{
    ptrdiff_t units = (columns + PQC_DEPTHWISE_UNIT - 1) / PQC_DEPTHWISE_UNIT;
    return PQC_DEPTHWISE_UNIT * (units <= 2 ? units : (units + 3) / 4 * 4);
}

/* Padded rows `first` to `first + count` to y, whose size is a multiple of 64 bytes: what is left of the last 64 is
 * written, too.  Bytes outside of the image are p->q.zero.  Returns the flags of quantize_u8.h. */
unsigned pqc_depthwise_rows_vnni(const pqc_depthwise_plane *p, ptrdiff_t first, ptrdiff_t count,
                                 uint8_t *y);

#endif
