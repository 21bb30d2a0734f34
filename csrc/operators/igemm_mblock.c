/* Multiplies one M-block with one weight panel (u8 x s8, int32 sums) and requantises the sums to float32. */
#include "igemm_mblock.h"

#include "dispatch.h"
#include "igemm_u8s8/igemm_u8s8.h"

#include <float.h>
#include <string.h>

bool pqc_conv_scale_is_safe(const pqc_packed_weights *packed, float div)
{
    double inverse = 1.0 / (double)div;
    return inverse * packed->min_inverse >= FLT_MIN && inverse * packed->max_inverse <= FLT_MAX;
}

void pqc_conv_scales(const pqc_packed_weights *packed, const pqc_conv_call *call, float *scale,
                     float *bias)
{
    ptrdiff_t channels = packed->shape.groups * packed->shape.out;
    double inverse = 1.0 / (double)call->div;
    const double *restrict of_weights = packed->inverse;
    if (call->row_q) /* a separate loop, so that the other one is vectorised */
        for (ptrdiff_t c = 0; c < channels; c++)
            scale[c] = 1.0f;
    else
        for (ptrdiff_t c = 0; c < channels; c++)
            scale[c] = (float)(inverse * of_weights[c]);
    if (call->bias && !call->row_q) /* else by rescale_row, at the end */
        memcpy(bias, call->bias, (size_t)channels * sizeof *bias);
    else
        memset(bias, 0, (size_t)channels * sizeof *bias);
}

int pqc_mblock_channels(const pqc_mblock *block)
{
    ptrdiff_t left = block->packed->shape.out - PQC_NR * block->panel;
    return left < PQC_NR ? (int)left : PQC_NR;
}

/* The products of one K split. */
static pqc_igemm_params k_split_of(const pqc_mblock *block, ptrdiff_t split)
{
    const pqc_subconv *sub = block->sub;
    ptrdiff_t padded_out = block->packed->padded_out, first = split * PQC_MAX_K,
              left = sub->k - first;
    ptrdiff_t sums = (block->group * sub->k_splits + split) * padded_out + PQC_NR * block->panel;
    int vectors = pqc_panel_vectors(block->packed, block->panel);
    bool narrow = block->packed->shape.amx != NULL;
    ptrdiff_t k_stride = 4 * PQC_LANES * (narrow ? 1 : vectors);
    return (pqc_igemm_params){
        .x = block->x,
        .offset = block->offset + first,
        .k = left < PQC_MAX_K ? left : PQC_MAX_K,
        .w = sub->w + (block->group * padded_out + PQC_NR * block->panel) * sub->k * 4 +
             first * k_stride,
        .k_stride = k_stride,
        .panel_stride = narrow ? 4 * PQC_LANES * sub->k : 4 * PQC_LANES,
        .compensation =
            block->zero != 0 ? sub->compensation + sums : block->packed->no_compensation,
        .weight_sums = sub->weight_sums + sums,
        .vectors = vectors,
        .has_min_weight = block->packed->has_min_weight,
    };
}

pqc_igemm_params pqc_mblock_igemm(const pqc_mblock *block)
{
    pqc_igemm_params g = k_split_of(block, 0);
    if (block->range) {
        g.offset += block->range->first;
        g.w += block->range->first * g.k_stride;
        g.k = block->range->k;
        g.compensation = block->range->compensation;
        g.weight_sums = block->range->weight_sums;
    }
    return g;
}

/* K is too long for 32-bit sums: adds the K splits in 64 bits. */
static void run_k_splits(const pqc_mblock *block, int32_t *acc)
{
    int64_t total[PQC_MAX_MC * PQC_NR] = {0};
    ptrdiff_t padded_out = PQC_LANES * pqc_panel_vectors(block->packed, block->panel);
    const pqc_output_f32 *to = &block->to;
    for (ptrdiff_t split = 0; split < block->sub->k_splits; split++) {
        pqc_igemm_params g = k_split_of(block, split);
        pqc.igemm_u8s8(&g, block->pixel, block->pixels, acc);
        for (ptrdiff_t i = 0; i < block->pixels * padded_out; i++)
            total[i] += acc[i];
    }
    for (int p = 0; p < block->pixels; p++)
        for (int c = 0; c < pqc_mblock_channels(block); c++)
            to->y[p * to->pixel_stride + c * to->channel_stride] =
                pqc_finish((float)total[p * padded_out + c], to->scale[c], to->bias[c]);
}

/* Prefetches the results' cache lines, which takes less time than the products.  Inline: GCC may treat a function
 * that only prefetches as empty and drop its calls. */
PQC_INLINE void prefetch_places(const pqc_mblock *block, bool nhwc)
{
    const pqc_output_f32 *to = &block->to;
    const float *y = to->y;
    int channels = pqc_mblock_channels(block), lines = nhwc ? block->pixels : channels;
    int length = nhwc ? channels : block->pixels;
    for (int i = 0; i < lines; i++, y += nhwc ? to->pixel_stride : to->channel_stride)
        for (int j = 0; j < length; j += 16)
            PQC_FETCH_TO_WRITE(y + j);
}

void pqc_mblock_run(const pqc_mblock *block)
{
    _Alignas(64) int32_t acc[PQC_MAX_MC * PQC_NR];
    bool nhwc = block->to.channel_stride == 1;
    pqc_igemm_u8s8_f32_fn *igemm_u8s8_f32 =
        nhwc && block->sub->k_splits == 1 ? pqc.igemm_u8s8_f32 : NULL;
    if (block->prefetch && !igemm_u8s8_f32)
        prefetch_places(block, nhwc);
    if (block->sub->k_splits > 1) {
        run_k_splits(block, acc);
        return;
    }
    pqc_igemm_params g = pqc_mblock_igemm(block);
    pqc_output_block out = {block->to, block->pixels, pqc_mblock_channels(block), block->prefetch};
    if (igemm_u8s8_f32) {
        igemm_u8s8_f32(&g, block->pixel, &out);
        return;
    }
    pqc.igemm_u8s8(&g, block->pixel, block->pixels, acc);
    (nhwc ? pqc.requantize_nhwc : pqc.requantize_nchw)(
        (pqc_sums){acc, PQC_LANES * g.vectors, out.pixels, out.channels}, &out.to);
}
