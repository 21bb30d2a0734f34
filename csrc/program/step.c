#include "step.h"

ptrdiff_t pqc_step_offsets(const pqc_step *step)
{
    if (step->kind != PQC_STEP_CONV || step->weights->shape.depthwise)
        return 0;
    return step->weights->k + pqc_step_runs(step);
}

static bool same_shape(const pqc_image *a, const pqc_image *b)
{
    return a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c;
}

static bool same_codes(const pqc_pixels *a, const pqc_pixels *b)
{
    return a->content == b->content && a->zero == b->zero &&
           (a->content == PQC_FLOATS || (a->mul == b->mul && a->lo == b->lo && a->hi == b->hi));
}

static const char *prepare_import(const pqc_image *from, const pqc_image *to)
{
    if (from->codes.content != PQC_FLOATS || to->nchw || !same_shape(from, to))
        return "floats and an image of their shape expected";
    return from->nchw || to->codes.content != PQC_FLOATS ? NULL : "an array or codes expected";
}

static const char *prepare_export(const pqc_image *from, const pqc_image *to)
{
    return to->nchw && !from->nchw && same_shape(from, to)
               ? NULL
               : "an image and an array of its shape expected";
}

const char *pqc_step_prepare(pqc_step *step)
{
    const pqc_image *in = &step->input, *out = &step->output[0];
    if (step->weights && step->kind != PQC_STEP_CONV)
        return "packed weights that are not used";
    if (step->kind == PQC_STEP_CONV)
        return pqc_conv_step_prepare(step);
    if (step->kind == PQC_STEP_CHAIN)
        return pqc_chain_step_prepare(step);
    if (step->kind == PQC_STEP_SOFTMAX || step->kind == PQC_STEP_LAYER_NORM)
        return pqc_rows_step_prepare(step);
    if (step->kind == PQC_STEP_STRIDED)
        return pqc_strided_step_prepare(step);
    if (step->kind == PQC_STEP_MATMUL)
        return pqc_matmul_step_prepare(step);
    if (step->kind == PQC_STEP_INTEGERS || step->kind == PQC_STEP_TRUTHS)
        return pqc_integers_step_prepare(step);
    if (step->kind == PQC_STEP_FLOAT_CONV)
        return pqc_float_conv_step_prepare(step);
    if (step->kind == PQC_STEP_RECURRENT)
        return pqc_recurrent_step_prepare(step);
    if (step->kind == PQC_STEP_GATHER)
        return pqc_gather_step_prepare(step);
    if (step->kind == PQC_STEP_INTERPOLATE)
        return pqc_interpolate_step_prepare(step);
    if (step->kind == PQC_STEP_NORM)
        return pqc_norm_step_prepare(step);
    if (step->kind == PQC_STEP_REDUCE)
        return pqc_reduce_step_prepare(step);
    if (step->kind >= PQC_STEP_AVERAGE && step->kind <= PQC_STEP_MEAN)
        return pqc_average_step_prepare(step);
    if (step->outputs != 1 || step->residual.codes.content != PQC_NOTHING)
        return "one output and no residual expected";
    if (step->kind == PQC_STEP_IMPORT)
        return prepare_import(in, out);
    if (step->kind == PQC_STEP_EXPORT)
        return prepare_export(in, out);
    if (in->nchw || out->nchw || !same_codes(&in->codes, &out->codes))
        return "images with one meaning expected";
    if (step->kind == PQC_STEP_COPY)
        return pqc_copy_step_prepare(step);
    if (step->kind == PQC_STEP_FOLD)
        return pqc_fold_step_prepare(step);
    if (step->kind == PQC_STEP_PAD)
        return pqc_pad_step_prepare(step);
    if (step->kind == PQC_STEP_STACK)
        return pqc_stack_step_prepare(step);
    if (step->kind == PQC_STEP_RESIZE || step->kind == PQC_STEP_SHUFFLE)
        return pqc_rearrange_step_prepare(step);
    if (in->codes.content != PQC_U8_CODES && in->codes.content != PQC_FLOATS)
        return "bytes or floats expected";
    return in->n == out->n && in->c == out->c ? pqc_window_check(step)
                                              : "as many images and channels expected";
}

void pqc_step_limit(pqc_step *step, ptrdiff_t buffer_bytes, ptrdiff_t *arena_bytes)
{
    if (step->kind == PQC_STEP_RECURRENT) {
        step->workspace = pqc_line_aligned(*arena_bytes);
        *arena_bytes = step->workspace + pqc_recurrent_step_workspace(step);
    }
    if (!step->tiling.fits)
        return;
    if (step->input.buffer == 0)
        *arena_bytes = pqc_max(*arena_bytes, step->tiling.reach);
    else
        step->tiling.fits = step->tiling.reach <= buffer_bytes;
}

unsigned pqc_step_run(const pqc_step *step, char *const *buffers)
{
    for (int i = 0; i < step->outputs; i++)
        pqc_image_fill_border(&step->output[i], buffers);
    switch (step->kind) {
    case PQC_STEP_IMPORT:
        return pqc_import_step_run(step, buffers);
    case PQC_STEP_CONV:
        return pqc_conv_step_run(step, buffers);
    case PQC_STEP_CHAIN:
        return pqc_chain_step_run(step, buffers);
    case PQC_STEP_SOFTMAX:
    case PQC_STEP_LAYER_NORM:
        return pqc_rows_step_run(step, buffers);
    case PQC_STEP_AVERAGE:
    case PQC_STEP_PADDED_AVERAGE:
    case PQC_STEP_MEAN:
        return pqc_average_step_run(step, buffers);
    case PQC_STEP_RESIZE:
    case PQC_STEP_SHUFFLE:
        pqc_rearrange_step_run(step, buffers);
        return 0;
    case PQC_STEP_STRIDED:
        pqc_strided_step_run(step, buffers);
        return 0;
    case PQC_STEP_RECURRENT:
        return pqc_recurrent_step_run(step, buffers);
    case PQC_STEP_INTEGERS:
    case PQC_STEP_TRUTHS:
        pqc_integers_step_run(step, buffers);
        return 0;
    case PQC_STEP_FLOAT_CONV:
        return pqc_float_conv_step_run(step, buffers);
    case PQC_STEP_GATHER:
        return pqc_gather_step_run(step, buffers);
    case PQC_STEP_INTERPOLATE:
        return pqc_interpolate_step_run(step, buffers);
    case PQC_STEP_PAD:
        return pqc_pad_step_run(step, buffers);
    case PQC_STEP_NORM:
        pqc_norm_step_run(step, buffers);
        return 0;
    case PQC_STEP_STACK:
        pqc_stack_step_run(step, buffers);
        return 0;
    case PQC_STEP_FOLD:
        pqc_fold_step_run(step, buffers);
        return 0;
    case PQC_STEP_REDUCE:
        pqc_reduce_step_run(step, buffers);
        return 0;
    case PQC_STEP_MATMUL:
        pqc_matmul_step_run(step, buffers);
        return 0;
    case PQC_STEP_EXPORT:
        pqc_export_step_run(step, buffers);
        return 0;
    case PQC_STEP_POOL:
        pqc_pool_step_run(step, buffers);
        return 0;
    default:
        pqc_copy_step_run(step, buffers);
        return 0;
    }
}
