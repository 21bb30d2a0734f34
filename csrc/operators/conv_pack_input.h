/* Quantises one float32 image to bytes, packed in the layout of conv_shape.h. */
#ifndef PQC_CONV_PACK_INPUT_H
#define PQC_CONV_PACK_INPUT_H

#include "conv_shape.h"
#include "parallel.h"
#include "pack_u8/pack_u8.h"

#include <stdatomic.h>

enum { PQC_IMAGE_GRAIN = 1 << 14 }; /* floats per grain: about 3 us */

typedef struct {
    const pqc_conv_shape *shape;
    const pqc_conv_view *view;
    const float *x; /* groups * in channels of view->inputs floats each */
    uint8_t *bytes; /* pqc_conv_image_bytes bytes, 4-aligned */
    pqc_u8_quant q;
    atomic_uint flags; /* the caller sets it to 0 */
} pqc_conv_image;

/* The packed image is written row by row, a group's rows together.  Quantises rows [begin, end) on this thread. */
ptrdiff_t pqc_conv_image_rows(const pqc_conv_image *image);
void pqc_conv_image_quantize(pqc_conv_image *image, ptrdiff_t begin, ptrdiff_t end);

/* Writes the image, border included, on all threads; returns the flags of pack_u8.h. */
unsigned pqc_conv_image_pack(pqc_conv_image *image);

#endif
