/* What one call of a convolution hands to the rival algorithms, and their entry points. */
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
    /* nchw results of this image; streamed if the batch is larger than the caches */
    pqc_output_f32 to;
    int32_t *offset;
    uint8_t *bytes;
    pqc_conv_image image;
    ptrdiff_t pixels;
    bool prefetch;  /* prefetch the next x and y */
    bool fits_l2;   /* x and y of the whole batch stay in L2 */
    bool backwards; /* traverse the weights backwards for this image */
    /* Winograd's and AMX's, one block per thread of call->threads; further threads wait */
    pqc_scratch_pool *scratch;
} pqc_conv_work;

/* The ranges of a subconvolution's outputs along the axes. */
static inline void pqc_conv_ranges(const pqc_packed_weights *packed, const pqc_conv_view *view,
                                   const pqc_subconv *sub, pqc_conv_range range[PQC_AXES])
{
    for (int axis = 0; axis < PQC_AXES; axis++)
        range[axis] = pqc_conv_axis_outputs(&packed->shape, view, axis, sub->index[axis]);
}

/* Index in a channel of y of output (z, y, x) of the subconvolution. */
static inline ptrdiff_t pqc_conv_output(const pqc_conv_work *w, ptrdiff_t z, ptrdiff_t y,
                                        ptrdiff_t x)
{
    const pqc_conv_range *r = w->range;
    ptrdiff_t row =
        (r[0].first + z * r[0].step) * w->view->axis[1].out + r[1].first + y * r[1].step;
    return row * w->view->axis[2].out + r[2].first + x * r[2].step;
}

/* igemm: the lanes are output channels.  Runs one subconvolution, whose ranges and pixels are set, in M-blocks of
 * pixels. */
void pqc_conv_igemm(const pqc_conv_work *work);

/* chw: the lanes are pixels; for tap-packed layers, and kernels of 1 with few input channels.  Multiplies and stores
 * the whole image.  A depthwise layer's image is quantised on the way; any other must be packed before. */
bool pqc_conv_takes_chw(const pqc_conv_work *work);
void pqc_conv_chw(pqc_conv_work *work);

/* Depthwise layers by pqc.dwconv_u8s8, quantised on the way.  False, with nothing written, if the layer is not one it
 * supports. */
bool pqc_conv_dwconv(pqc_conv_work *work);

/* The side of the Winograd tiles, 2 or 4 outputs, if pqc.winograd exists and is the fastest algorithm for the layer;
 * else 0. */
int pqc_conv_winograd_side(const pqc_packed_weights *packed, const pqc_conv_view *view);

/* Tasks of an image, and the bytes of scratch memory that a thread needs. */
ptrdiff_t pqc_conv_winograd_tasks(const pqc_packed_weights *packed, const pqc_conv_view *view,
                                  int side);
ptrdiff_t pqc_conv_winograd_bytes(const pqc_packed_weights *packed, const pqc_conv_view *view,
                                  int side);

/* False, with nothing written, if the call has no side or other kernels have been selected since. */
bool pqc_conv_winograd(const pqc_conv_work *work);

/* Layers packed for AMX: tasks of an image, and bytes of scratch memory per thread. */
typedef struct {
    ptrdiff_t tasks, bytes;
} pqc_conv_amx_needs;

pqc_conv_amx_needs pqc_conv_amx_need(const pqc_packed_weights *packed, const pqc_conv_view *view);

/* Runs one subconvolution, whose ranges are set. */
void pqc_conv_amx(const pqc_conv_work *work);

/* Byte offsets in the packed image of `pixels` outputs of the subconvolution, from output number `first`. */
void pqc_conv_pixels(const pqc_conv_work *work, ptrdiff_t first, int pixels, int32_t *pixel);

#endif
