/* Where the operands of a convolution lie; no arithmetic.
 *
 * Every convolution is taken as one over three axes, missing ones of size 1.  An image is packed as nChw4c: the bytes of four
 * neighbouring channels of a group in a dword (a c4 block), with the border the padding needs, and split into phases for a
 * stride (coordinate modulo the stride), so that each tap of the kernel lies at a constant distance from an output position's
 * address, and neighbouring positions at neighbouring dwords:
 *
 *     dword[group][c4 block][phase z][phase y][phase x][z][y][x]
 *
 * Where a channel or two make a group, four neighbouring taps along a row stand in for the four channels (tap-packed, kw4): the
 * image is then bytes, without phases:  byte[group][channel][z][y][x].
 *
 * Only phases that some tap reads are stored.  A transposed convolution of stride s is s ordinary ones of stride 1 (per axis),
 * each writing every s-th output: its subconvolutions.  An ordinary convolution is one subconvolution. */
#ifndef PQC_CONV_SHAPE_H
#define PQC_CONV_SHAPE_H

#include "amx_gemm/amx_gemm.h"

enum { PQC_AXES = 3 };

typedef struct {
    ptrdiff_t kernel, stride, dilation, before, after; /* padding before and after */
    ptrdiff_t extra;                                   /* output_padding of a transposed one */
} pqc_conv_axis;

typedef struct {
    bool transposed, is_unsigned; /* unsigned: the weights are bytes of 0 to 255 */
    ptrdiff_t groups, in, out;    /* channels of one group */
    bool kw4;                     /* tap-packed */
    bool matrix;                  /* a linear layer: kernels of 1, rows instead of images */
    const pqc_amx_gemm *amx;      /* the AMX kernels that multiply it, or NULL */
    pqc_conv_axis axis[PQC_AXES];
} pqc_conv_shape;

/* A kernel of 1, without stride or padding: the image of a channel may be taken as one row. */
bool pqc_conv_is_pointwise(const pqc_conv_shape *shape);

/* Number of outputs along an axis for `size` inputs; below 1 if the kernel does not fit. */
ptrdiff_t pqc_conv_outputs(const pqc_conv_shape *shape, int axis, ptrdiff_t size);

/* A subconvolution's taps along an axis: first, first + step, ... */
typedef struct {
    ptrdiff_t first, step, count;
} pqc_conv_taps;

ptrdiff_t pqc_conv_axis_subconvs(const pqc_conv_shape *shape, int axis);
pqc_conv_taps pqc_conv_axis_taps(const pqc_conv_shape *shape, int axis, ptrdiff_t sub);

/* One axis of the packed image, for inputs of a certain size. */
typedef struct {
    ptrdiff_t in, out;      /* the axis' size */
    ptrdiff_t size, phases; /* elements along it in a phase, border included; number of phases */
    ptrdiff_t before;       /* coordinate of the first input */
} pqc_conv_axis_layout;

typedef struct {
    pqc_conv_axis_layout axis[PQC_AXES];
    ptrdiff_t c4_blocks; /* of a group; tap-packed: its channels */
    ptrdiff_t
        block_stride; /* elements from a block to the next: all its phases, and for AMX a few more */
    ptrdiff_t element;         /* bytes of an element: 4, or 1 if tap-packed */
    ptrdiff_t inputs, outputs; /* of a channel */
} pqc_conv_view;

/* One layer of inputs and outputs, which is all that a kernel sees: with padding along z the one output might see none of
 * the input. */
bool pqc_conv_is_flat(const pqc_conv_shape *shape, const pqc_conv_view *view);

/* False if some axis has no output, the outputs are too many to count, or a group's image would not be addressable with 31
 * bits. */
bool pqc_conv_view_init(pqc_conv_view *view, const pqc_conv_shape *shape,
                        const ptrdiff_t size[PQC_AXES]);

/* Bytes of a packed image, with room for vectors that read past its end. */
ptrdiff_t pqc_conv_image_bytes(const pqc_conv_view *view, const pqc_conv_shape *shape);

/* The outputs of a subconvolution along an axis, and the packed coordinate of its first output for tap `first`. */
typedef struct {
    ptrdiff_t first, step, count;
} pqc_conv_range;

pqc_conv_range pqc_conv_axis_outputs(const pqc_conv_shape *shape, const pqc_conv_view *view,
                                     int axis, ptrdiff_t sub);

/* Distance in dwords of tap number i of a subconvolution from an output's address, along one axis. */
ptrdiff_t pqc_conv_axis_place(const pqc_conv_shape *shape, const pqc_conv_view *view, int axis,
                              ptrdiff_t sub, ptrdiff_t i);

/* Elements between neighbours along an axis of a phase. */
static inline ptrdiff_t pqc_conv_pitch(const pqc_conv_view *view, int axis)
{
    ptrdiff_t pitch = 1;
    for (int i = axis + 1; i < PQC_AXES; i++)
        pitch *= view->axis[i].size;
    return pitch;
}

#endif
