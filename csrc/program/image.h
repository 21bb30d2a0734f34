/* Where a value of a compiled program lies: an image in the arena, channels last, or a NumPy array of the caller's. */
#ifndef PQC_IMAGE_H
#define PQC_IMAGE_H

#include "finish_nhwc/finish_nhwc.h"

/* n images of h x w pixels of c channels.  Around each lie rows and columns that hold the code of zero, as many as the readers'
 * padding needs.  A matrix of n rows has h = w = 1.
 *
 *   nchw    floats, a channel's pixels together, without a border: what NumPy has
 *   buffer  0 is the arena, the others are arrays given to each run
 *   offset  bytes to the first channel of the first pixel of the border
 *   pixel   bytes from a pixel to the next: more than its channels where it is a slice of a longer one */
typedef struct {
    pqc_pixels codes; /* except `at` */
    bool nchw;
    ptrdiff_t buffer, offset, n, h, w, c, top, bottom, left, right;
} pqc_image;

/* Bytes that vectors may read past the end. */
enum { PQC_IMAGE_SLACK = 64 };

static inline ptrdiff_t pqc_image_row(const pqc_image *i)
{
    return (i->left + i->w + i->right) * i->codes.pixel;
}

static inline ptrdiff_t pqc_image_size(const pqc_image *i)
{
    return (i->top + i->h + i->bottom) * pqc_image_row(i);
}

/* One image of floats, channels last, whose pixels follow each other: rows of c floats. */
static inline bool pqc_image_is_float_rows(const pqc_image *i)
{
    return i->codes.content == PQC_FLOATS && !i->nchw && i->n == 1 &&
           i->codes.pixel == i->c * (ptrdiff_t)sizeof(float);
}

/* Bytes from `offset` to a pixel, possibly one of the border. */
static inline ptrdiff_t pqc_image_at(const pqc_image *i, ptrdiff_t n, ptrdiff_t y, ptrdiff_t x)
{
    return n * pqc_image_size(i) + (y + i->top) * pqc_image_row(i) + (x + i->left) * i->codes.pixel;
}

/* The pixels of an image, with their address. */
static inline pqc_pixels pqc_image_pixels(const pqc_image *i, char *const *buffers, ptrdiff_t n,
                                          ptrdiff_t y, ptrdiff_t x)
{
    pqc_pixels pixels = i->codes;
    pixels.at = buffers[i->buffer] + i->offset + pqc_image_at(i, n, y, x);
    return pixels;
}

/* NULL if an image is valid for buffers of these sizes; else what is wrong. */
const char *pqc_image_check(const pqc_image *i, const ptrdiff_t *buffer_bytes, ptrdiff_t buffers);

/* Fills the border with the code of zero. */
void pqc_image_fill_border(const pqc_image *i, char *const *buffers);

#endif
