#include "conv_work.h"
#include "dispatch.h"
#include "parallel.h"

/* Outputs larger than this would push each other out of the caches: about half of the last one. */
#define STREAMED_BYTES ((ptrdiff_t)16 << 20)

static ptrdiff_t longest_k(const pqc_conv_plan *plan)
{
    ptrdiff_t k = 0;
    for (ptrdiff_t i = 0; i < plan->pieces; i++)
        k = plan->piece[i].k > k ? plan->piece[i].k : k;
    return k;
}

static ptrdiff_t grain_of(const pqc_conv_plan *plan)
{
    return plan->shape.unit ? PQC_UNIT_GRAIN : PQC_PRODUCTS_GRAIN;
}

static ptrdiff_t slots_of(const pqc_conv_plan *plan, const pqc_conv_view *view, ptrdiff_t batch)
{
    double products = (double)view->outputs * (double)plan->lanes * (double)plan->shape.groups *
                      (double)longest_k(plan) * 4;
    int threads = pqc_get_num_threads();
    bool large = plan->pieces > 1 || products > 8 * (double)grain_of(plan);
    return batch == 1 || large ? 1 : threads;
}

static ptrdiff_t offset_bytes(const pqc_conv_plan *plan)
{
    return pqc_aligned(longest_k(plan) * (ptrdiff_t)sizeof(int32_t));
}

static ptrdiff_t channel_bytes(const pqc_conv_plan *plan)
{
    return pqc_aligned(plan->shape.groups * plan->shape.out * (ptrdiff_t)sizeof(float));
}

static ptrdiff_t image_bytes(const pqc_conv_plan *plan, const pqc_conv_view *view)
{
    return pqc_aligned(pqc_conv_image_bytes(view, &plan->shape));
}

ptrdiff_t pqc_conv_prepare(const pqc_conv_plan *plan, const pqc_conv_view *view,
                           pqc_conv_call *call)
{
    ptrdiff_t tasks = 0;
    call->slots = slots_of(plan, view, call->batch);
    call->side = 0;
    call->scratch = 0;
    if (plan->shape.unit) {
        pqc_conv_unit_needs need = pqc_conv_unit_need(plan, view);
        tasks = need.tasks;
        call->scratch = need.bytes;
    } else if (pqc.winograd) {
        call->side = pqc_conv_winograd_side(plan, view);
    }
    if (call->side != 0) {
        tasks = pqc_conv_winograd_tasks(plan, view, call->side);
        call->scratch = pqc_conv_winograd_bytes(plan, view, call->side);
    }
    if (call->slots > 1 && tasks > 0)
        tasks = call->batch;
    call->threads = (int)pqc_least(pqc_get_num_threads(), tasks);
    return 2 * channel_bytes(plan) + offset_bytes(plan) + call->slots * image_bytes(plan, view) +
           call->threads * call->scratch;
}

/* The memory of a call. */
typedef struct {
    pqc_slots images, scratch;
} memory;

static void lay_out(pqc_conv_work *w, memory *m)
{
    char *at = w->call->workspace;
    ptrdiff_t channels = channel_bytes(w->plan), image = image_bytes(w->plan, w->view);
    w->scale = (float *)(void *)at;
    w->bias = (float *)(void *)(at + channels);
    w->offset = (int32_t *)(void *)(at + 2 * channels);
    at += 2 * channels + offset_bytes(w->plan);
    pqc_slots_init(&m->images, at, w->call->slots, image);
    pqc_slots_init(&m->scratch, at + w->call->slots * image, w->call->threads, w->call->scratch);
    w->scratch = &m->scratch;
}

/* In columns: parts, channels, taps z, y, x with 4 taps along x in a step. */
static void fill_column_offsets(const pqc_conv_work *w)
{
    const pqc_conv_view *view = w->view;
    const pqc_conv_axis *axis = w->plan->shape.axis;
    int32_t *offset = w->offset;
    ptrdiff_t row = pqc_conv_pitch(view, 1), layer = pqc_conv_pitch(view, 0);
    for (ptrdiff_t quad = 0; quad < w->plan->parts * view->quads; quad++)
        for (ptrdiff_t z = 0; z < axis[0].kernel; z++)
            for (ptrdiff_t y = 0; y < axis[1].kernel; y++)
                for (ptrdiff_t x = 0; x < axis[2].kernel; x += 4)
                    *offset++ =
                        (int32_t)(quad % view->quads * view->plane + z * axis[0].dilation * layer +
                                  y * axis[1].dilation * row + x * axis[2].dilation);
}

/* The first quad's taps are there, and each's distance from a quad to the next is the same: from the last step to the first,
 * for those taps are read until the end. */
static void spread_over_quads(const pqc_conv_work *w, ptrdiff_t taps)
{
    ptrdiff_t quads = w->view->quads, plane = 4 * w->view->plane;
    ptrdiff_t chunk = pqc_conv_chunk(&w->plan->shape, quads, 0);
    ptrdiff_t first = (w->plan->parts * quads - 1) / chunk * chunk;
    for (; first >= 0; first -= chunk) {
        ptrdiff_t width = pqc_conv_chunk(&w->plan->shape, quads, first);
        ptrdiff_t at = first % quads * plane;
        int32_t *offset = w->offset + first * taps;
        for (ptrdiff_t tap = taps - 1; tap >= 0; tap--)
            for (ptrdiff_t i = width - 1; i >= 0; i--)
                offset[tap * width + i] = w->offset[tap] + (int32_t)(at + i * plane);
    }
}

/* Taps y, quads, taps z, x. */
static void fill_offsets_by_rows(const pqc_conv_work *w)
{
    const pqc_conv_shape *shape = &w->plan->shape;
    const pqc_conv_piece *piece = w->piece;
    ptrdiff_t layers = piece->taps[0].count, columns = piece->taps[2].count;
    ptrdiff_t apart = layers * columns, quads = w->view->quads;
    int32_t *offset = w->offset;
    for (ptrdiff_t y = 0; y < piece->taps[1].count; y++, offset += quads * apart)
        for (ptrdiff_t i = 0; i < apart; i++) {
            ptrdiff_t at = pqc_conv_axis_place(shape, w->view, 0, piece->index[0], i / columns) +
                           pqc_conv_axis_place(shape, w->view, 1, piece->index[1], y) +
                           pqc_conv_axis_place(shape, w->view, 2, piece->index[2], i % columns);
            for (ptrdiff_t quad = 0; quad < quads; quad++)
                offset[quad * apart + i] = (int32_t)(4 * (at + quad * w->view->plane));
        }
}

/* Where the quad of each step lies, in the order of conv_pack_weights.h. */
static void fill_offsets(const pqc_conv_work *w)
{
    if (w->plan->shape.columns) {
        fill_column_offsets(w);
        return;
    }
    if (pqc_conv_by_rows(&w->plan->shape, w->plan->parts)) {
        fill_offsets_by_rows(w);
        return;
    }
    const pqc_conv_shape *shape = &w->plan->shape;
    const pqc_conv_piece *piece = w->piece;
    ptrdiff_t taps = 0;
    for (ptrdiff_t z = 0; z < piece->taps[0].count; z++)
        for (ptrdiff_t y = 0; y < piece->taps[1].count; y++) {
            ptrdiff_t at = pqc_conv_axis_place(shape, w->view, 0, piece->index[0], z) +
                           pqc_conv_axis_place(shape, w->view, 1, piece->index[1], y);
            for (ptrdiff_t x = 0; x < piece->taps[2].count; x++) {
                ptrdiff_t place = pqc_conv_axis_place(shape, w->view, 2, piece->index[2], x);
                w->offset[taps++] = (int32_t)(4 * (at + place));
            }
        }
    spread_over_quads(w, taps);
}

static void run_piece(pqc_conv_work *w)
{
    pqc_conv_ranges(w->plan, w->view, w->piece, w->range);
    w->pixels = w->range[0].count * w->range[1].count * w->range[2].count;
    if (w->pixels == 0)
        return;
    if (w->plan->pieces > 1) /* one piece's offsets serve all images */
        fill_offsets(w);
    if (w->plan->shape.unit) {
        pqc_conv_unit(w);
        return;
    }
    pqc_conv_tiles(w);
}

static void run_pieces(pqc_conv_work *w)
{
    for (ptrdiff_t i = 0; i < w->plan->pieces; i++) {
        w->piece = &w->plan->piece[i];
        run_piece(w);
    }
}

/* Image number n, with its quads at `bytes`. */
static unsigned run_image(pqc_conv_work w, ptrdiff_t n, uint8_t *bytes)
{
    const pqc_conv_shape *shape = &w.plan->shape;
    w.bytes = bytes;
    w.image = (pqc_conv_image){.shape = shape,
                               .view = w.view,
                               .x = w.call->x + n * shape->groups * shape->in * w.view->inputs,
                               .bytes = bytes,
                               .q = w.call->q};
    w.y = w.call->y + n * shape->groups * shape->out * w.view->outputs;
    w.backwards = w.call->backwards != (n % 2 != 0);
    bool fused = shape->columns && shape->groups > 1;
    unsigned flags = fused ? 0 : pqc_conv_image_pack(&w.image);
    if (flags != 0)
        return flags;
    if (!pqc_conv_takes_lines(&w)) {
        if (!pqc_conv_winograd(&w))
            run_pieces(&w);
        return 0;
    }
    pqc_conv_lines(&w);
    return atomic_load(&w.image.flags);
}

/* Small images, each on one thread with a slot of its own for its quads. */
typedef struct {
    const pqc_conv_work *work;
    pqc_slots *images;
    atomic_uint flags;
} small_images;

static void run_images(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    small_images *s = context;
    ptrdiff_t slot = pqc_slots_take(s->images);
    for (ptrdiff_t n = end - 1; n >= begin; n--)
        atomic_fetch_or(&s->flags, run_image(*s->work, n, pqc_slots_memory(s->images, slot)));
    pqc_slots_give(s->images, slot);
}

static unsigned run_small_images(const pqc_conv_work *w, pqc_slots *images)
{
    small_images s = {.work = w, .images = images};
    ptrdiff_t products =
        w->view->outputs * w->plan->lanes * w->plan->shape.groups * w->plan->piece->k * 4;
    pqc_parallel_tasks(w->call->batch, w->call->batch * products, grain_of(w->plan), run_images,
                       &s);
    return atomic_load(&s.flags);
}

unsigned pqc_conv_s8(const pqc_conv_plan *plan, const pqc_conv_view *view,
                     const pqc_conv_call *call)
{
    pqc_conv_work w = {.plan = plan, .view = view, .call = call, .piece = plan->piece};
    memory m;
    unsigned flags = 0;
    lay_out(&w, &m);
    pqc_conv_scales(plan, call, w.scale, w.bias);
    ptrdiff_t out = call->batch * plan->shape.groups * plan->shape.out * view->outputs * 4;
    ptrdiff_t in = call->batch * plan->shape.groups * plan->shape.in * view->inputs * 4;
    w.stream = out >= STREAMED_BYTES;
    w.far = in + out >= (pqc_last_cache_is_far() ? PQC_NEAR_BYTES : STREAMED_BYTES);
    w.near = in + out < PQC_NEAR_BYTES;
    if (plan->pieces == 1)
        fill_offsets(&w);
    if (call->slots > 1)
        return run_small_images(&w, &m.images);
    for (ptrdiff_t n = call->batch - 1; n >= 0 && flags == 0; n--) /* as in conv_pack_input.c */
        flags = run_image(w, n, m.images.memory);
    return flags;
}
