/* The table of step kinds, and what calls through it. */
#include "steps.h"

typedef const pqc_step_type *type;

static const type TYPES[PQC_STEPS] = {
    [PQC_STEP_IMPORT] = &pqc_import_step,
    [PQC_STEP_EXPORT] = &pqc_export_step,
    [PQC_STEP_CONV] = &pqc_conv_step,
    [PQC_STEP_POOL] = &pqc_pool_step,
    [PQC_STEP_COPY] = &pqc_copy_step,
    [PQC_STEP_CHAIN] = &pqc_chain_step,
    [PQC_STEP_SOFTMAX] = &pqc_rows_step,
    [PQC_STEP_LAYER_NORM] = &pqc_rows_step,
    [PQC_STEP_AVERAGE] = &pqc_average_step,
    [PQC_STEP_PADDED_AVERAGE] = &pqc_average_step,
    [PQC_STEP_MEAN] = &pqc_average_step,
    [PQC_STEP_RESIZE] = &pqc_rearrange_step,
    [PQC_STEP_SHUFFLE] = &pqc_rearrange_step,
    [PQC_STEP_STRIDED] = &pqc_strided_step,
    [PQC_STEP_MATMUL] = &pqc_matmul_step,
    [PQC_STEP_GATHER] = &pqc_gather_step,
    [PQC_STEP_RECURRENT] = &pqc_recurrent_step,
    [PQC_STEP_FLOAT_CONV] = &pqc_float_conv_step,
    [PQC_STEP_INTEGERS] = &pqc_integers_step,
    [PQC_STEP_TRUTHS] = &pqc_integers_step,
    [PQC_STEP_INTERPOLATE] = &pqc_interpolate_step,
    [PQC_STEP_PAD] = &pqc_pad_step,
    [PQC_STEP_REDUCE] = &pqc_reduce_step,
    [PQC_STEP_NORM] = &pqc_norm_step,
    [PQC_STEP_STACK] = &pqc_stack_step,
    [PQC_STEP_FOLD] = &pqc_fold_step,
    [PQC_STEP_LOCATE] = &pqc_locate_step,
    [PQC_STEP_LOG_SOFTMAX] = &pqc_rows_step,
};

ptrdiff_t pqc_step_offsets(const pqc_step *step)
{
    if (step->kind != PQC_STEP_CONV || step->weights->shape.depthwise)
        return 0;
    return step->weights->k + pqc_step_runs(step);
}

static bool same_codes(const pqc_pixels *a, const pqc_pixels *b)
{
    return a->content == b->content && a->zero == b->zero &&
           (a->content == PQC_FLOATS || (a->mul == b->mul && a->lo == b->lo && a->hi == b->hi));
}

const char *pqc_step_prepare(pqc_step *step)
{
    const pqc_image *in = &step->input, *out = &step->output[0];
    type t = TYPES[step->kind];
    if (step->weights && step->kind != PQC_STEP_CONV)
        return "packed weights that are not used";
    for (int i = 0; i < PQC_LAYOUT && !t->has_layout; i++)
        if (step->layout[i] != 0)
            return "a layout that is not used";
    if (t->expects != PQC_ANY &&
        (step->outputs != 1 || step->residual.codes.content != PQC_NOTHING))
        return "one output and no residual expected";
    if (t->expects == PQC_SAME_CODES &&
        (in->nchw || out->nchw || !same_codes(&in->codes, &out->codes)))
        return "images with one meaning expected";
    return t->prepare(step);
}

void pqc_step_limit(pqc_step *step, const ptrdiff_t *buffer_bytes, ptrdiff_t *arena_bytes)
{
    type t = TYPES[step->kind];
    if (t->workspace) {
        step->workspace = pqc_line_aligned(buffer_bytes[0]);
        *arena_bytes = pqc_max(*arena_bytes, step->workspace + t->workspace(step));
    }
    if (!step->tiling.fits)
        return;
    if (step->input.buffer == 0)
        *arena_bytes = pqc_max(*arena_bytes, step->tiling.reach);
    else
        step->tiling.fits = step->tiling.reach <= buffer_bytes[step->input.buffer];
}

unsigned pqc_step_run(const pqc_step *step, char *const *buffers)
{
    for (int i = 0; i < step->outputs; i++)
        pqc_image_fill_border(&step->output[i], buffers);
    return pqc_step_run_bare(step, buffers);
}

unsigned pqc_step_run_bare(const pqc_step *step, char *const *buffers)
{
    return TYPES[step->kind]->run(step, buffers);
}
