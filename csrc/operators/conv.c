/* Drives one quantised convolution: chooses the algorithm, lays out the workspace, and packs and multiplies each
 * image. */
#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

static ptrdiff_t longest_k(const pqc_packed_weights *packed)
{
    ptrdiff_t k = 0;
    for (ptrdiff_t i = 0; i < packed->subconvs; i++)
        k = packed->sub[i].k > k ? packed->sub[i].k : k;
    return k;
}

static ptrdiff_t grain_of(const pqc_packed_weights *packed)
{
    return packed->shape.amx ? PQC_AMX_GRAIN : PQC_MAC_GRAIN;
}

static ptrdiff_t images_in_flight_of(const pqc_packed_weights *packed, const pqc_conv_view *view,
                                     ptrdiff_t batch)
{
    double products = (double)view->outputs * (double)packed->padded_out *
                      (double)packed->shape.groups * (double)longest_k(packed) * 4;
    int threads = pqc_get_num_threads();
    bool large = packed->subconvs > 1 || products > 8 * (double)grain_of(packed);
    return batch == 1 || large ? 1 : threads;
}

static ptrdiff_t offset_bytes(const pqc_packed_weights *packed)
{
    return pqc_line_aligned(longest_k(packed) * (ptrdiff_t)sizeof(int32_t));
}

static ptrdiff_t channel_bytes(const pqc_packed_weights *packed)
{
    return pqc_line_aligned(packed->shape.groups * packed->shape.out * (ptrdiff_t)sizeof(float));
}

static ptrdiff_t image_bytes(const pqc_packed_weights *packed, const pqc_conv_view *view)
{
    return pqc_line_aligned(pqc_conv_image_bytes(view, &packed->shape));
}

ptrdiff_t pqc_conv_prepare(const pqc_packed_weights *packed, const pqc_conv_view *view,
                           pqc_conv_call *call)
{
    ptrdiff_t tasks = 0;
    call->images_in_flight = images_in_flight_of(packed, view, call->batch);
    call->side = 0;
    call->scratch = 0;
    if (packed->shape.amx) {
        pqc_conv_amx_needs need = pqc_conv_amx_need(packed, view);
        tasks = need.tasks;
        call->scratch = need.bytes;
    } else if (pqc.winograd) {
        call->side = pqc_conv_winograd_side(packed, view);
    }
    if (call->side != 0) {
        tasks = pqc_conv_winograd_tasks(packed, view, call->side);
        call->scratch = pqc_conv_winograd_bytes(packed, view, call->side);
    }
    if (call->images_in_flight > 1 && tasks > 0)
        tasks = call->batch;
    call->threads = (int)pqc_min(pqc_get_num_threads(), tasks);
    return 2 * channel_bytes(packed) + offset_bytes(packed) +
           call->images_in_flight * image_bytes(packed, view) + call->threads * call->scratch;
}

/* How the workspace of a call is laid out. */
typedef struct {
    pqc_scratch_pool images, scratch;
} memory;

static void lay_out(pqc_conv_work *w, memory *m)
{
    char *at = w->call->workspace;
    ptrdiff_t channels = channel_bytes(w->packed), image = image_bytes(w->packed, w->view);
    float *scale = (float *)(void *)at, *bias = (float *)(void *)(at + channels);
    pqc_conv_scales(w->packed, w->call, scale, bias);
    w->to = (pqc_output_f32){
        .scale = scale, .bias = bias, .pixel_stride = 1, .channel_stride = w->view->outputs};
    w->offset = (int32_t *)(void *)(at + 2 * channels);
    at += 2 * channels + offset_bytes(w->packed);
    pqc_scratch_pool_init(&m->images, at, w->call->images_in_flight, image);
    pqc_scratch_pool_init(&m->scratch, at + w->call->images_in_flight * image, w->call->threads,
                          w->call->scratch);
    w->scratch = &m->scratch;
}

/* Tap-packed: offsets in the order weight plane, channel, tap z, y, x, with 4 taps along x per kr group. */
static void fill_kw4_offsets(const pqc_conv_work *w)
{
    const pqc_conv_view *view = w->view;
    const pqc_conv_axis *axis = w->packed->shape.axis;
    int32_t *offset = w->offset;
    ptrdiff_t row = pqc_conv_pitch(view, 1), layer = pqc_conv_pitch(view, 0);
    for (ptrdiff_t c4 = 0; c4 < w->packed->weight_planes * view->c4_blocks; c4++)
        for (ptrdiff_t z = 0; z < axis[0].kernel; z++)
            for (ptrdiff_t y = 0; y < axis[1].kernel; y++)
                for (ptrdiff_t x = 0; x < axis[2].kernel; x += 4)
                    *offset++ = (int32_t)(c4 % view->c4_blocks * view->block_stride +
                                          z * axis[0].dilation * layer +
                                          y * axis[1].dilation * row + x * axis[2].dilation);
}

/* The offsets of the first c4 block's taps are filled in; the other blocks' follow at a constant stride.  Goes from
 * the last kr group to the first, because the taps of the first block are read until the end. */
static void spread_over_c4_blocks(const pqc_conv_work *w, ptrdiff_t taps)
{
    ptrdiff_t c4_blocks = w->view->c4_blocks, stride = 4 * w->view->block_stride;
    ptrdiff_t run = pqc_conv_c4_run(&w->packed->shape, c4_blocks, 0);
    ptrdiff_t first = (w->packed->weight_planes * c4_blocks - 1) / run * run;
    for (; first >= 0; first -= run) {
        ptrdiff_t width = pqc_conv_c4_run(&w->packed->shape, c4_blocks, first);
        ptrdiff_t at = first % c4_blocks * stride;
        int32_t *offset = w->offset + first * taps;
        for (ptrdiff_t tap = taps - 1; tap >= 0; tap--)
            for (ptrdiff_t i = width - 1; i >= 0; i--)
                offset[tap * width + i] = w->offset[tap] + (int32_t)(at + i * stride);
    }
}

/* Offsets in the order tap y, c4 block, tap z, tap x. */
static void fill_offsets_by_rows(const pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->packed->shape;
    const pqc_subconv *sub = w->sub;
    ptrdiff_t layers = sub->taps[0].count, row_length = sub->taps[2].count;
    ptrdiff_t row_taps = layers * row_length, c4_blocks = w->view->c4_blocks;
    int32_t *offset = w->offset;
    for (ptrdiff_t y = 0; y < sub->taps[1].count; y++, offset += c4_blocks * row_taps)
        for (ptrdiff_t i = 0; i < row_taps; i++) {
            ptrdiff_t at = pqc_conv_axis_place(shape, w->view, 0, sub->index[0], i / row_length) +
                           pqc_conv_axis_place(shape, w->view, 1, sub->index[1], y) +
                           pqc_conv_axis_place(shape, w->view, 2, sub->index[2], i % row_length);
            for (ptrdiff_t c4 = 0; c4 < c4_blocks; c4++)
                offset[c4 * row_taps + i] = (int32_t)(4 * (at + c4 * w->view->block_stride));
        }
}

/* The offset of the c4 block that each kr group reads, in the order of conv_pack_weights.h. */
static void fill_offsets(const pqc_conv_work *w)
{
    if (w->packed->shape.kw4) {
        fill_kw4_offsets(w);
        return;
    }
    if (pqc_conv_k_by_rows(&w->packed->shape, w->packed->weight_planes)) {
        fill_offsets_by_rows(w);
        return;
    }
    const pqc_conv_shape *shape = &w->packed->shape;
    const pqc_subconv *sub = w->sub;
    ptrdiff_t taps = 0;
    for (ptrdiff_t z = 0; z < sub->taps[0].count; z++)
        for (ptrdiff_t y = 0; y < sub->taps[1].count; y++) {
            ptrdiff_t at = pqc_conv_axis_place(shape, w->view, 0, sub->index[0], z) +
                           pqc_conv_axis_place(shape, w->view, 1, sub->index[1], y);
            for (ptrdiff_t x = 0; x < sub->taps[2].count; x++) {
                ptrdiff_t place = pqc_conv_axis_place(shape, w->view, 2, sub->index[2], x);
                w->offset[taps++] = (int32_t)(4 * (at + place));
            }
        }
    spread_over_c4_blocks(w, taps);
}

static void run_subconv(pqc_conv_work *w)
{
    pqc_conv_ranges(w->packed, w->view, w->sub, w->range);
    w->pixels = w->range[0].count * w->range[1].count * w->range[2].count;
    if (w->pixels == 0)
        return;
    if (w->packed->subconvs > 1) /* one subconvolution's offsets serve all images */
        fill_offsets(w);
    if (w->packed->shape.amx) {
        pqc_conv_amx(w);
        return;
    }
    pqc_conv_igemm(w);
}

static void run_subconvs(pqc_conv_work *w)
{
    for (ptrdiff_t i = 0; i < w->packed->subconvs; i++) {
        w->sub = &w->packed->sub[i];
        run_subconv(w);
    }
}

/* Runs image number n, packed into `bytes`. */
static unsigned run_image(pqc_conv_work w, ptrdiff_t n, uint8_t *bytes)
{
    const pqc_conv_shape *shape = &w.packed->shape;
    w.bytes = bytes;
    w.image = (pqc_conv_image){.shape = shape,
                               .view = w.view,
                               .x = w.call->x + n * shape->groups * shape->in * w.view->inputs,
                               .bytes = bytes,
                               .q = w.call->q};
    w.to.y = w.call->y + n * shape->groups * shape->out * w.view->outputs;
    w.backwards = w.call->backwards != (n % 2 != 0);
    bool fused = shape->kw4 && shape->groups > 1;
    unsigned flags = fused ? 0 : pqc_conv_image_pack(&w.image);
    if (flags != 0)
        return flags;
    if (!pqc_conv_takes_chw(&w)) {
        if (!pqc_conv_winograd(&w))
            run_subconvs(&w);
        return 0;
    }
    pqc_conv_chw(&w);
    return atomic_load(&w.image.flags);
}

/* Small images: one thread per image, each taking memory for its packed image from a pool. */
typedef struct {
    const pqc_conv_work *work;
    pqc_scratch_pool *images;
    atomic_uint flags;
} small_images;

static void run_images(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    small_images *s = context;
    ptrdiff_t taken = pqc_scratch_pool_acquire(s->images);
    for (ptrdiff_t n = end - 1; n >= begin; n--)
        atomic_fetch_or(&s->flags, run_image(*s->work, n, pqc_scratch_pool_at(s->images, taken)));
    pqc_scratch_pool_release(s->images, taken);
}

static unsigned run_small_images(const pqc_conv_work *w, pqc_scratch_pool *images)
{
    small_images s = {.work = w, .images = images};
    ptrdiff_t products =
        w->view->outputs * w->packed->padded_out * w->packed->shape.groups * w->packed->sub->k * 4;
    pqc_parallel_tasks(w->call->batch, w->call->batch * products, grain_of(w->packed), run_images,
                       &s);
    return atomic_load(&s.flags);
}

unsigned pqc_conv_run(const pqc_packed_weights *packed, const pqc_conv_view *view,
                      const pqc_conv_call *call)
{
    pqc_conv_work w = {.packed = packed, .view = view, .call = call, .sub = packed->sub};
    memory m;
    unsigned flags = 0;
    lay_out(&w, &m);
    ptrdiff_t out = call->batch * packed->shape.groups * packed->shape.out * view->outputs * 4;
    ptrdiff_t in = call->batch * packed->shape.groups * packed->shape.in * view->inputs * 4;
    w.to.stream = out >= PQC_LLC_STREAM;
    w.prefetch = in + out >= (pqc_last_cache_is_far() ? PQC_L2_WORKING_SET : PQC_LLC_STREAM);
    w.fits_l2 = in + out < PQC_L2_WORKING_SET;
    if (packed->subconvs == 1)
        fill_offsets(&w);
    if (call->images_in_flight > 1)
        return run_small_images(&w, &m.images);
    for (ptrdiff_t n = call->batch - 1; n >= 0 && flags == 0; n--) /* as in conv_pack_input.c */
        flags = run_image(w, n, m.images.memory);
    return flags;
}
