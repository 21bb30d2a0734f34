/* Padded rows of one channel as bytes, for the AVX-512 VNNI body. */
#ifndef PQC_DEPTHWISE_ROWS_VNNI_H
#define PQC_DEPTHWISE_ROWS_VNNI_H

#include "depthwise.h"

/* WORTH: bytes that are worth a call; a block of less is made at once. */
enum {
    PQC_DEPTHWISE_UNIT = 16,
    PQC_DEPTHWISE_MOST_UNITS = PQC_DEPTHWISE_WIDTH / PQC_DEPTHWISE_UNIT,
    PQC_DEPTHWISE_WORTH = 512
};

/* Bytes from a row to the next: one unit, two or a multiple of four, as 64 bytes are written at a time. */
static inline ptrdiff_t pqc_depthwise_pitch(ptrdiff_t columns)
{
    ptrdiff_t units = (columns + PQC_DEPTHWISE_UNIT - 1) / PQC_DEPTHWISE_UNIT;
    return PQC_DEPTHWISE_UNIT * (units <= 2 ? units : (units + 3) / 4 * 4);
}

/* Some of a plane's padded rows on their way to bytes. */
typedef struct {
    const pqc_depthwise_plane *plane;
    uint8_t *y;
    ptrdiff_t first, count;   /* the rows, by their numbers in the image */
    ptrdiff_t low, high;      /* those of them that it has */
    ptrdiff_t done;           /* how many are bytes; maybe more than there are */
    ptrdiff_t left, n, units; /* columns of padding and of the image; units of a row */
    uint16_t lanes[PQC_DEPTHWISE_MOST_UNITS]; /* where a unit has columns of the image */
} pqc_depthwise_rows;

/* Padded rows `first` to `first + count` of a plane are to be made bytes at y, whose size is a multiple of 64 bytes: what
 * is left of the last 64 is written, too.  In place: a struct that is returned would be copied while its parts are still on
 * the way to memory. */
void pqc_depthwise_rows_init(pqc_depthwise_rows *r, const pqc_depthwise_plane *p, ptrdiff_t first,
                             ptrdiff_t count, uint8_t *y);

/* The first `wanted` of them at least.  Bytes outside of the image are q.zero.  Returns the flags of quantize_u8.h. */
unsigned pqc_depthwise_rows_vnni(pqc_depthwise_rows *r, ptrdiff_t wanted);

#endif
