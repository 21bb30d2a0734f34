/* Convolutions of programs, whole steps: sums by the definition, then the output stage, which has a test of its own. */
#include "check.h"
#include "conv_tail.h"
#include "conv_ways.h"
#include "dispatch.h"
#include "elementary/elementary_scalar.h"
#include "parallel.h"
#include "steps.h"
#include "tests.h"
#include "winograd_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OUT = 2 * 80, MAX_WEIGHTS = MAX_OUT * 9 * 100, CASES = 240, MAX_CHAIN = 4 };

typedef struct {
    buffer arena, input; /* end at pages that may not be touched */
    int8_t weight[MAX_WEIGHTS];
    float scale[MAX_OUT], bias[MAX_OUT];
    int32_t acc[MAX_OUT + 16];
} room;

static ptrdiff_t one_of(const ptrdiff_t *values, int count)
{
    return values[random_bits() % (unsigned)count];
}

static ptrdiff_t between(ptrdiff_t low, ptrdiff_t high)
{
    return low + (ptrdiff_t)(random_bits() % (unsigned)(high - low + 1));
}

/* `whole`: panels whose codes behind a residual have bodies of their own. */
static pqc_weights_shape random_shape(bool whole)
{
    static const ptrdiff_t in[] = {3, 4, 7, 20, 64, 64, 68, 96};
    static const ptrdiff_t out[] = {1, 5, 16, 24, 24, 32, 33, 40, 48, 64, 70};
    pqc_weights_shape s = {.groups = random_bits() % 4 ? 1 : 2,
                           .in = one_of(in, 8),
                           .out = one_of(out, 11),
                           .kh = between(1, 3),
                           .kw = between(1, 3),
                           .zero = random_bits() % 2 ? 0 : (int32_t)between(1, 255)};
    if (whole) {
        s.in = 64;
        s.out = 64 * between(1, 2);
        s.groups = s.out > 64 ? 1 : s.groups;
    } else if (random_bits() % 4 == 0) {
        s.depthwise = true;
        s.groups = between(1, MAX_OUT);
        s.in = s.out = 1;
        s.kh = s.kw = 1 + 2 * between(0, 3);
    }
    s.merged = !s.depthwise && s.groups == 1 && s.kw > 1 && (s.in % 4 != 0 || random_bits() % 2);
    return s;
}

static pqc_window random_window(ptrdiff_t kernel, bool dilated)
{
    if (kernel == 3 && random_bits() % 2) /* as Winograd's algorithm takes it */
        return (pqc_window){1, 1, between(0, 2), 3};
    return (pqc_window){between(1, 2), dilated ? between(1, 2) : 1, between(0, kernel - 1), kernel};
}

static ptrdiff_t outputs_of(const pqc_window *w, ptrdiff_t size, ptrdiff_t after)
{
    ptrdiff_t left = size + w->before + after - (w->kernel - 1) * w->dilation - 1;
    return left < 0 ? 0 : left / w->stride + 1;
}

/* The reciprocal of a step: half of them integers, some of these powers of two, the others as ranges of data make them. */
static float random_scale(void)
{
    float number = 1.0f + (float)(random_bits() % 64);
    return random_bits() % 2 ? number : number + (float)(random_bits() % (1 << 20)) * 0x1p-20f;
}

/* Puts an image behind those before. */
static void add_image(pqc_image *i, pqc_content content, ptrdiff_t *end, ptrdiff_t slack)
{
    ptrdiff_t size = pqc_content_size(content);
    i->codes.content = content;
    i->codes.pixel = i->c * size + (content == PQC_U8_CODES ? 0 : 2 * size);
    i->codes.mul = i->codes.div = random_scale();
    i->codes.lo = content == PQC_U8_CODES ? (float)-i->codes.zero : -32767.0f;
    i->codes.hi = content == PQC_U8_CODES ? (float)(255 - i->codes.zero)
                  : random_bits() % 4     ? 32767.0f
                                          : 99.0f;
    i->offset = *end;
    *end = pqc_round_up(*end + i->n * pqc_image_size(i) + slack, 64);
}

/* Numbers that multiply and are added behind the convolution, with or without a clamp: one that the output stage can do if no
 * residual is added before. */
static void add_map(pqc_step *s, pqc_chain_op *ops)
{
    bool least = random_bits() % 2, most = random_bits() % 2;
    ops[0] =
        (pqc_chain_op){PQC_CHAIN_MUL_NUMBER, 0, 0, 4, (float)(int32_t)random_bits() * 0x1p-30f};
    ops[1] =
        (pqc_chain_op){PQC_CHAIN_ADD_NUMBER, 4, 0, 5, (float)(int32_t)random_bits() * 0x1p-30f};
    s->chain = ops;
    s->chain_length = 2;
    if (least)
        ops[s->chain_length++] = (pqc_chain_op){PQC_CHAIN_AT_LEAST, 5, 0, 4, -0.5f};
    if (most)
        ops[s->chain_length++] = (pqc_chain_op){PQC_CHAIN_AT_MOST, least ? 4 : 5, 0, 6, 1.5f};
}

/* A chain behind the convolution, an operand of which has one pixel, or one channel, or its own of everything. */
static void add_chain(pqc_step *s, pqc_chain_op *ops, ptrdiff_t *bytes)
{
    static const pqc_chain_op kept[] = {
        {PQC_CHAIN_SIGMOID, 0, 0, 4, 0}, {PQC_CHAIN_MUL, 4, 0, 5, 0}, {PQC_CHAIN_ADD, 5, 1, 4, 0}};
    pqc_image operand = s->output[0];
    operand.codes = (pqc_pixels){0};
    operand.top = operand.right = 0;
    if (random_bits() % 2)
        operand.h = operand.w = 1;
    if (random_bits() % 4 == 0)
        operand.c = 1;
    if (random_bits() % 2)
        operand.n = 1;
    memcpy(ops, kept, sizeof kept);
    s->chain = ops;
    s->chain_length = random_bits() % 2 ? 3 : 2;
    if (s->chain_length == 3) {
        s->more[0] = operand;
        add_image(&s->more[0], random_bits() % 2 ? PQC_S16_CODES : PQC_U8_CODES, bytes, 0);
    }
}

/* GELU or SiLU alone: of plain sums, into one image of bytes, it has a body of its own. */
static void add_gate(pqc_step *s, pqc_chain_op *ops)
{
    ops[0] = (pqc_chain_op){random_bits() % 2 ? PQC_CHAIN_GELU : PQC_CHAIN_SILU, 0, 0, 4, 0};
    s->chain = ops;
    s->chain_length = 1;
    if (random_bits() % 4) {
        s->outputs = 1;
        s->residual = (pqc_image){0};
        s->low = -INFINITY;
        s->high = INFINITY;
        s->hard_swish = false;
    }
}

/* Codes that results go through before the residual is added. */
static void add_between(pqc_step *s)
{
    bool words = random_bits() % 4 == 0;
    int32_t zero = words || random_bits() % 2 ? 0 : (int32_t)between(1, 255);
    float number = random_scale();
    s->between = (pqc_pixels){.content = words ? PQC_S16_CODES : PQC_U8_CODES,
                              .mul = number,
                              .div = number,
                              .lo = words ? -32767.0f : (float)-zero,
                              .hi = words ? 32767.0f : (float)(255 - zero),
                              .zero = zero};
}

/* What output i holds: floats or any codes; of whole panels bytes, beside which there may be words. */
static pqc_content random_content(int i, int bytes_in, bool floats, bool whole)
{
    if (floats)
        return PQC_FLOATS;
    if (whole)
        return i == bytes_in ? PQC_U8_CODES : PQC_S16_CODES;
    return i == 0 && random_bits() % 2 ? PQC_U8_CODES : (pqc_content)between(1, 3);
}

static void describe(pqc_step *s, const pqc_weights_shape *w, bool whole, pqc_chain_op *ops,
                     ptrdiff_t *bytes)
{
    ptrdiff_t h = between(1, 9), width = between(1, 21), n = between(1, 2);
    ptrdiff_t after_y = between(0, w->kh - 1), after_x = between(0, w->kw - 1);
    s->y = random_window(w->kh, true);
    s->x = random_window(w->kw, !w->merged);
    while (outputs_of(&s->y, h, after_y) == 0)
        h++;
    while (outputs_of(&s->x, width, after_x) == 0)
        width++;
    *bytes = 0;
    pqc_image out = {.n = n,
                     .h = outputs_of(&s->y, h, after_y),
                     .w = outputs_of(&s->x, width, after_x),
                     .c = w->groups * w->out};
    /* Floats alone and as they are: these have a body of their own. */
    bool floats = !whole && random_bits() % 6 == 0;
    pqc_content residual = floats  ? PQC_NOTHING
                           : whole ? (pqc_content)between(PQC_U8_CODES, PQC_S16_CODES)
                                   : (pqc_content)(random_bits() % 4);
    if (residual != PQC_NOTHING) {
        s->residual = out;
        if (residual == PQC_U8_CODES)
            s->residual.codes.zero = random_bits() % 2 ? 0 : (int32_t)between(1, 255);
        add_image(&s->residual, residual, bytes, 0);
        if (residual != PQC_FLOATS && random_bits() % 2)
            add_between(s);
    }
    s->outputs = floats ? 1 : (int)between(1, 2);
    int bytes_in = (int)between(0, s->outputs - 1);
    for (int i = 0; i < s->outputs; i++) {
        s->output[i] = out;
        pqc_content content = random_content(i, bytes_in, floats, whole);
        if (content == PQC_U8_CODES) {
            s->output[i].top = s->output[i].right = between(0, 2);
            s->output[i].codes.zero = random_bits() % 2 ? 0 : (int32_t)between(1, 255);
        }
        add_image(&s->output[i], content, bytes, 0);
    }
    unsigned chain = floats || whole ? 4 : random_bits() % 5;
    if ((floats || whole) && random_bits() % 4) {
        s->low = -INFINITY;
        s->high = INFINITY;
    }
    if (chain == 0)
        add_chain(s, ops, bytes);
    else if (chain == 1)
        add_map(s, ops);
    else if (chain == 2)
        add_gate(s, ops);
    s->input = (pqc_image){.codes.zero = w->zero,
                           .n = n,
                           .h = h,
                           .w = width,
                           .c = w->groups * w->in,
                           .top = s->y.before + between(0, 1),
                           .bottom = after_y,
                           .left = s->x.before,
                           .right = after_x + between(0, 1)};
    add_image(&s->input, PQC_U8_CODES, bytes,
              PQC_IMAGE_SLACK); /* the last: what is behind it counts */
}

static int64_t exact_sum(const room *r, const pqc_step *s, char *const *buffers, ptrdiff_t n,
                         ptrdiff_t y, ptrdiff_t x, ptrdiff_t channel)
{
    const pqc_weights_shape *w = &s->weights->shape;
    const int8_t *weight = r->weight + channel * w->kh * w->kw * w->in;
    int64_t sum = 0;
    for (ptrdiff_t i = 0; i < w->kh; i++)
        for (ptrdiff_t k = 0; k < w->kw; k++) {
            const uint8_t *at = pqc_image_pixels(&s->input, buffers, n,
                                                 y * s->y.stride - s->y.before + i * s->y.dilation,
                                                 x * s->x.stride - s->x.before + k * s->x.dilation)
                                    .at;
            at += channel / w->out * w->in;
            for (ptrdiff_t c = 0; c < w->in; c++)
                sum += (at[c] - w->zero) * *weight++;
        }
    return sum;
}

/* One result through the operations of add_map. */
static float mapped(const pqc_step *s, float value)
{
    for (ptrdiff_t i = 0; i < s->chain_length; i++) {
        const pqc_chain_op *o = &s->chain[i];
        float number = o->number;
        if (o->kind == PQC_CHAIN_MUL_NUMBER)
            value = value * number;
        else if (o->kind == PQC_CHAIN_ADD_NUMBER)
            value = value + number;
        else if (o->kind == PQC_CHAIN_AT_LEAST)
            value = value < number ? number : value;
        else
            value = value > number ? number : value;
    }
    return value;
}

/* A pixel's results through the chain: operations on one float each, by their names. */
static unsigned expect_chain(const pqc_step *s, char *const *buffers, ptrdiff_t n, ptrdiff_t y,
                             ptrdiff_t x, const float *results)
{
    unsigned flags = 0;
    for (ptrdiff_t c = 0; c < s->output[0].c; c++) {
        float given = results[c], product = 0, value = pqc_sigmoid_of(given);
        product = value * given;
        const pqc_image *more = &s->more[0];
        if (s->chain[0].kind == PQC_CHAIN_MUL_NUMBER)
            product = mapped(s, given);
        else if (s->chain[0].kind == PQC_CHAIN_GELU)
            product = pqc_gelu_of(given);
        else if (s->chain_length == 3) {
            pqc_pixels from = pqc_image_pixels(more, buffers, more->n > 1 ? n : 0,
                                               more->h > 1 ? y : 0, more->w > 1 ? x : 0);
            ptrdiff_t at = more->c > 1 ? c * pqc_content_size(from.content) : 0;
            pqc_decode_f32_scalar(&from, (char *)from.at + at, &value, 1);
            product = product + value;
        }
        for (int i = 0; i < s->outputs; i++) {
            pqc_pixels to = pqc_image_pixels(&s->output[i], buffers, n, y, x);
            char *at = (char *)to.at + c * pqc_content_size(to.content);
            flags |= pqc_encode_f32_scalar(&to, &product, at, 1);
        }
    }
    return flags;
}

/* What the images hold afterwards: computed in place, pixel by pixel. */
static unsigned expect_step(room *r, const pqc_step *s, char *const *buffers)
{
    unsigned flags = 0;
    pqc_output f = pqc_tail_output(s);
    f.known = 0;
    for (int i = 0; i < s->outputs; i++)
        pqc_image_fill_border(&s->output[i], buffers);
    const pqc_image *out = &s->output[0];
    for (ptrdiff_t n = 0; n < out->n; n++)
        for (ptrdiff_t y = 0; y < out->h; y++)
            for (ptrdiff_t x = 0; x < out->w; x++) {
                for (ptrdiff_t c = 0; c < out->c; c++)
                    r->acc[c] = (int32_t)exact_sum(r, s, buffers, n, y, x, c);
                if (s->residual.codes.content != PQC_NOTHING)
                    f.residual = pqc_image_pixels(&s->residual, buffers, n, y, x);
                for (int i = 0; i < s->outputs && !s->chain_length; i++)
                    f.output[i] = pqc_image_pixels(&s->output[i], buffers, n, y, x);
                float results[MAX_OUT];
                if (s->chain_length)
                    f.output[0].at = results;
                flags |= pqc_finish_nhwc_scalar(r->acc, MAX_OUT, 1, (int)out->c, &f);
                if (s->chain_length)
                    flags |= expect_chain(s, buffers, n, y, x, results);
            }
    return flags;
}

static void fill(char *arena, ptrdiff_t bytes, const pqc_step *s)
{
    for (ptrdiff_t i = 0; i < bytes; i++)
        arena[i] = (char)random_bits();
    if (s->residual.codes.content == PQC_FLOATS) {
        float *values = (float *)(void *)(arena + s->residual.offset);
        for (ptrdiff_t i = 0; i < s->residual.n * pqc_image_size(&s->residual) / 4; i++)
            values[i] = (float)(int32_t)random_bits() * 0x1p-28f;
    }
}

/* Lets a step of 3 x 3 taps run by Winograd's algorithm, also where that is no faster, in patches of a random size; returns the
 * weights' memory, or NULL. */
static void *use_winograd(pqc_step *s)
{
    const pqc_weights *w = s->weights;
    s->patches = (pqc_patches){0};
    if (!pqc.winograd_nhwc || w->shape.groups > 1 || w->shape.depthwise || s->y.kernel != 3 ||
        s->x.kernel != 3 || s->y.stride + s->x.stride + s->y.dilation + s->x.dilation != 4)
        return NULL;
    int16_t *u = line_alloc((size_t)pqc_winograd_weights_bytes(w));
    pqc_winograd_weights_pack(w, u);
    s->winograd = u;
    s->patches = (pqc_patches){6 * between(1, 2), between(1, 2)};
    return u;
}

/* `plain`: the step as it was before it was prepared, nothing folded. */
static void run_case(room *r, pqc_step *s, const pqc_step *plain, ptrdiff_t bytes)
{
    ptrdiff_t reached = bytes;
    void *transformed = use_winograd(s);
    pqc_step_limit(s, (ptrdiff_t[]){bytes, bytes}, &reached);
    char *wanted = calloc(1, (size_t)bytes), *given = calloc(1, (size_t)bytes);
    char *arena = buffer_place(&r->arena, (size_t)pqc_round_up(reached, 64), 0);
    fill(given, bytes, s);
    pqc_image_fill_border(&s->input, &given);
    memcpy(wanted, given, (size_t)bytes);
    memcpy(arena, given, (size_t)bytes);
    char *buffers[] = {arena, NULL};
    if (transformed) { /* whose memory for itself lies behind the images: a buffer of its own shows what is read there */
        ptrdiff_t end = s->input.offset + s->input.n * pqc_image_size(&s->input) + PQC_IMAGE_SLACK;
        buffers[1] = buffer_place(&r->input, (size_t)end, 0);
        memcpy(buffers[1], given, (size_t)end);
        s->input.buffer = 1;
    }
    unsigned flags = expect_step(r, plain, &wanted), got = pqc_step_run(s, buffers);
    const pqc_weights_shape *w = &s->weights->shape;
    CHECK(got == flags, "flags %u, not %u", got, flags);
    CHECK(memcmp(arena, wanted, (size_t)bytes) == 0,
          "%td groups of %td by %td channels, %td x %td taps, %td x %td pixels", w->groups, w->in,
          w->out, w->kh, w->kw, s->output[0].h, s->output[0].w);
    CHECK(buffer_guards_intact(&r->arena), "something written outside of the arena");
    line_free(transformed);
    free(given);
    free(wanted);
}

static bool chain_can_be_folded(const pqc_step *s)
{
    return s->chain_length && s->chain[0].kind == PQC_CHAIN_MUL_NUMBER &&
           s->residual.codes.content == PQC_NOTHING;
}

static void check_largest_sum(const pqc_weights *w, const int8_t *weight)
{
    ptrdiff_t length = w->shape.kh * w->shape.kw * w->shape.in, largest = 0;
    for (ptrdiff_t c = 0; c < w->shape.groups * w->shape.out; c++, weight += length) {
        ptrdiff_t sum = 0;
        for (ptrdiff_t i = 0; i < length; i++)
            sum += abs(weight[i]);
        largest = pqc_max(largest, sum);
    }
    CHECK(w->largest_sum == largest, "%td, not %td", w->largest_sum, largest);
}

static void check_case(room *r)
{
    bool whole = random_bits() % 5 == 0;
    pqc_weights_shape shape = random_shape(whole);
    ptrdiff_t channels = shape.groups * shape.out, bytes;
    for (ptrdiff_t i = 0; i < channels * shape.kh * shape.kw * shape.in; i++)
        r->weight[i] = (int8_t)random_bits();
    for (ptrdiff_t c = 0; c < channels; c++) {
        r->scale[c] = (float)(1 + random_bits() % 1000) * 0x1p-24f;
        r->bias[c] = (float)(int32_t)random_bits() * 0x1p-29f;
    }
    void *memory = malloc((size_t)pqc_weights_bytes(&shape));
    pqc_weights weights;
    pqc_weights_pack(&weights, &shape, memory, r->weight, r->scale, r->bias);
    check_largest_sum(&weights, r->weight);
    pqc_step s = {.kind = PQC_STEP_CONV,
                  .weights = &weights,
                  .next = &weights,
                  .low = random_bits() % 2 ? 0 : -INFINITY,
                  .high = random_bits() % 4 ? INFINITY : 6,
                  .second_low = -INFINITY,
                  .second_high = INFINITY,
                  .hard_swish = random_bits() % 8 == 0};
    pqc_chain_op ops[MAX_CHAIN];
    describe(&s, &shape, whole, ops, &bytes);
    if (s.residual.codes.content != PQC_NOTHING && random_bits() % 2)
        s.second_low = 0;
    if (s.residual.codes.content != PQC_NOTHING && random_bits() % 4 == 0)
        s.second_high = 6;
    s.offset = malloc((size_t)pqc_step_offsets(&s) * sizeof *s.offset);
    pqc_step plain = s;
    bool folds = chain_can_be_folded(&s);
    const char *why = pqc_step_prepare(&s);
    CHECK(!why, "%s", why);
    CHECK(why || s.affine.there == folds, "a chain of %td operations", plain.chain_length);
    if (!why)
        run_case(r, &s, &plain, bytes);
    free(s.offset);
    free(memory);
}

/* Which steps go by Winograd's algorithm, and how many threads can do so at once: here a patch would take all tiles, and
 * threads take fewer each, in memory of their own. */
static void check_patches(void)
{
    enum { THREADS = 3, TILES = 16, UNIT = 6 };
    static const pqc_winograd_nhwc cheap = {.product = 1, .direct = 8, .transforms = 1};
    pqc_weights weights = {.shape = {.groups = 1, .out = 64, .in = 64, .kh = 3, .kw = 3},
                           .padded_out = 64,
                           .k = 9 * 16};
    pqc_step s = {.kind = PQC_STEP_CONV,
                  .weights = &weights,
                  .y = {1, 1, 1, 3},
                  .x = {1, 1, 1, 3},
                  .outputs = 1};
    s.output[0] = (pqc_image){.n = 1, .h = 14, .w = 14};
    int before = pqc_get_num_threads();
    pqc_set_num_threads(THREADS);
    pqc_patches patches = pqc_patches_of(&s, &cheap);
    pqc_set_num_threads(before);
    weights.largest_sum = INT32_MAX / (64 * 255);
    CHECK(pqc_patches_of(&s, &cheap).tiles > 0, "sums that just fit");
    weights.largest_sum++;
    CHECK(pqc_patches_of(&s, &cheap).tiles == 0, "sums that do not fit");
    CHECK(patches.tiles >= TILES && patches.blocks == pqc_div_round_up(TILES, UNIT),
          "%td blocks of %td tiles", patches.blocks, patches.tiles);
}

void test_conv_step(void)
{
    check_patches();
    room *r = calloc(1, sizeof *r);
    buffer_open(&r->arena);
    buffer_open(&r->input);
    for (int i = 0; i < CASES; i++)
        check_case(r);
    buffer_close(&r->arena);
    buffer_close(&r->input);
    free(r);
}
