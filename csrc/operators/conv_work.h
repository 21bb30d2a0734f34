/* One call of a convolution, and how the rival algorithms see it. */
#ifndef PQC_CONV_WORK_H
#define PQC_CONV_WORK_H

#include "conv_pack_input.h"
#include "igemm_mblock.h"
#include "scratch_pool.h"

typedef struct {
    const pqc_packed_weights *packed;
    const pqc_conv_view *view;
    const pqc_conv_call *call;
    const pqc_subconv *sub;
    pqc_conv_range range[PQC_AXES];
    pqc_output_f32 to; /* of this image, nchw; streamed if all images are larger than the caches */
    int32_t *offset;
    uint8_t *bytes;
    pqc_conv_image image;
    ptrdiff_t pixels;
    bool prefetch;             /* what is next of x and y is worth fetching */
    bool fits_l2;              /* x and y of all images stay in L2 */
    bool backwards;            /* over the weights of this image */
    pqc_scratch_pool *scratch; /* of Winograd and AMX: for call->threads threads, others wait */
} pqc_conv_work;

/* The outputs of a subconvolution along each axis. */
static inline void pqc_conv_ranges(const pqc_packed_weights *packed, const pqc_conv_view *view,
                                   const pqc_subconv *sub, pqc_conv_range range[PQC_AXES])
{
    for (int axis = 0; axis < PQC_AXES; axis++)
        range[axis] = pqc_conv_axis_outputs(&packed->shape, view, axis, sub->index[axis]);
}

/* Where the output at some place of the subconvolution's ranges goes: floats from the channel's first. */
static inline ptrdiff_t pqc_conv_output(const pqc_conv_work *w, ptrdiff_t z, ptrdiff_t y,
                                        ptrdiff_t x)
{
    const pqc_conv_range *r = w->range;
    ptrdiff_t row =
        (r[0].first + z * r[0].step) * w->view->axis[1].out + r[1].first + y * r[1].step;
    return row * w->view->axis[2].out + r[2].first + x * r[2].step;
}

/* igemm: the lanes are output channels.  A subconvolution, whose ranges and pixels are set, by M-blocks of pixels. */
void pqc_conv_igemm(const pqc_conv_work *work);

/* chw: the lanes are pixels, for tap-packed layers, and for kernels of 1 with few input channels: multiplies and stores the
 * whole image.  A depthwise layer quantises its image on the way; for others it must be there. */
bool pqc_conv_takes_chw(const pqc_conv_work *work);
void pqc_conv_chw(pqc_conv_work *work);

/* Depthwise layers that pqc.dwconv_u8s8 takes, quantised on the way.  False if this is another kind;
 * nothing is then written. */
bool pqc_conv_dwconv(pqc_conv_work *work);

/* The tiles with which pqc.winograd, if there is one, is the fastest way for a layer, 2 or 4 outputs high and wide; or 0. */
int pqc_conv_winograd_side(const pqc_packed_weights *packed, const pqc_conv_view *view);

/* The tasks of an image, and the bytes that a thread needs for them. */
ptrdiff_t pqc_conv_winograd_tasks(const pqc_packed_weights *packed, const pqc_conv_view *view,
                                  int side);
ptrdiff_t pqc_conv_winograd_bytes(const pqc_packed_weights *packed, const pqc_conv_view *view,
                                  int side);

/* False if the call has no side, or the table has changed since: nothing is then written. */
bool pqc_conv_winograd(const pqc_conv_work *work);

/* Layers packed for AMX: how many tasks an image has, and the bytes that a thread needs for them. */
typedef struct {
    ptrdiff_t tasks, bytes;
} pqc_conv_amx_needs;

pqc_conv_amx_needs pqc_conv_amx_need(const pqc_packed_weights *packed, const pqc_conv_view *view);

/* A subconvolution whose ranges are set. */
void pqc_conv_amx(const pqc_conv_work *work);

/* Addresses of the subconvolution's outputs from number `first` on, in bytes of the image. */
void pqc_conv_pixels(const pqc_conv_work *work, ptrdiff_t first, int pixels, int32_t *pixel);

#endif
