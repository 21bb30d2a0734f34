/* One image, quantised into the layout of conv_shape.h. */
#ifndef PQC_CONV_PACK_INPUT_H
#define PQC_CONV_PACK_INPUT_H

#include "conv_shape.h"
#include "parallel.h"
#include "pack_u8/pack_u8.h"

#include <stdatomic.h>

enum { PQC_IMAGE_GRAIN = 1 << 14 }; /* floats, as a grain: about 3 us */

typedef struct {
    const pqc_conv_shape *shape;
    const pqc_conv_view *view;
    const float *x; /* groups * in channels of view->inputs floats */
    uint8_t *bytes; /* pqc_conv_image_bytes of them, 4-aligned */
    pqc_u8_quant q;
    atomic_uint flags; /* set to 0 before */
} pqc_conv_image;

/* An image is written row by row, a group's rows together; any of them, on this thread. */
ptrdiff_t pqc_conv_image_rows(const pqc_conv_image *image);
void pqc_conv_image_quantize(pqc_conv_image *image, ptrdiff_t begin, ptrdiff_t end);

/* Writes the image, border included, on all threads; returns the flags of pack_u8.h. */
unsigned pqc_conv_image_pack(pqc_conv_image *image);

#endif
