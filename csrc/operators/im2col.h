/* im2col, the matrix that a convolution multiplies, and its adjoint col2im.  They only copy and add: scalar code is
 * memory bound. */
#ifndef PQC_IM2COL_H
#define PQC_IM2COL_H

#include "pqc.h"

/* A window that slides over planes of `size` elements; shapes of fewer than three dimensions have leading ones.  At
 * position o, kernel element k reads element o * stride + k * dilation - padding of each dimension; outside the plane
 * it reads zero.  No number is negative or above 2^31 - 1. */
typedef struct {
    ptrdiff_t size[3], kernel[3], stride[3], padding[3], dilation[3], out[3];
} pqc_window;

static inline ptrdiff_t pqc_product3(const ptrdiff_t n[3])
{
    return n[0] * n[1] * n[2];
}

/* columns[channel][k][image][o] = what kernel element k reads at position o, for the rows
 * [begin, end) of (channel, k) pairs in C order.
 *   x        (images, channels) planes of w->size elements of `item` bytes: 1, 2, 4 or 8
 *   columns  rows of images * product(w->out) elements; rows outside [begin, end) are not touched
 */
void pqc_im2col_rows(const void *x, void *columns, ptrdiff_t images, ptrdiff_t channels,
                     ptrdiff_t begin, ptrdiff_t end, size_t item, const pqc_window *w);

/* The adjoint: y[plane] is zeroed, then each column element is added where im2col reads it, in the
 * order of k, for the planes [begin, end), of floats (item 4) or doubles (8).  Columns that lie in the padding are dropped. */
void pqc_col2im_planes(const void *columns, void *y, ptrdiff_t begin, ptrdiff_t end, size_t item,
                       const pqc_window *w);

/* Both on all threads. */
typedef struct {
    const void *from;
    void *to;
    size_t item;                /* bytes per element; for col2im 4 (float) or 8 (double) */
    ptrdiff_t images, channels; /* col2im: images * channels planes */
    pqc_window window;
} pqc_im2col_work;

void pqc_im2col(pqc_im2col_work *work);
void pqc_col2im(pqc_im2col_work *work);

#endif
