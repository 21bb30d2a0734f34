/* The layers that a matrix unit multiplies, on one in plain C: images, panels, weights and results lie where it wants them. */
#include "check.h"
#include "conv.h"
#include "dispatch.h"
#include "parallel.h"
#include "plain_amx.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3, MAX_TAPS = 64 };

typedef struct {
    unsigned ways; /* of plain_amx.h, all that have to be taken */
    ptrdiff_t batch;
    ptrdiff_t size[PQC_AXES];
    pqc_conv_shape shape;
} layer;

#define ONE                                                                                        \
    {                                                                                              \
        1, 1, 1, 0, 0, 0                                                                           \
    }
#define PLAIN(kernel, padding)                                                                     \
    {                                                                                              \
        kernel, 1, 1, padding, padding, 0                                                          \
    }

/* {kernel, stride, dilation, before, after, extra} */
static const layer layers[] = {
    /* straight from the image: 64 channels, or as many after filling up */
    {PLAIN_STRAIGHT, 1, {1, 1, 1}, {.groups = 1, .in = 64, .out = 1, .axis = {ONE, ONE, ONE}}},
    {PLAIN_STRAIGHT, 1, {1, 5, 7}, {.groups = 1, .in = 64, .out = 32, .axis = {ONE, ONE, ONE}}},
    {PLAIN_STRAIGHT, 1, {1, 1, 33}, {.groups = 2, .in = 61, .out = 33, .axis = {ONE, ONE, ONE}}},
    {PLAIN_STRAIGHT,
     2,
     {1, 9, 8},
     {.groups = 1, .in = 64, .out = 17, .axis = {ONE, PLAIN(3, 1), PLAIN(3, 1)}}},
    {PLAIN_STRAIGHT,
     1,
     {1, 11, 10},
     {.groups = 2, .in = 128, .out = 5, .axis = {ONE, {3, 2, 1, 1, 1, 0}, {3, 2, 1, 0, 1, 0}}}},
    {PLAIN_STRAIGHT,
     1,
     {1, 12, 19},
     {.groups = 1, .in = 64, .out = 16, .axis = {ONE, {2, 1, 3, 0, 2, 0}, {3, 3, 2, 2, 0, 0}}}},
    {PLAIN_STRAIGHT,
     1,
     {4, 7, 6},
     {.groups = 1, .in = 64, .out = 20, .axis = {PLAIN(3, 1), PLAIN(2, 0), PLAIN(3, 1)}}},
    {PLAIN_STRAIGHT, 6, {1, 20, 35}, {.groups = 1, .in = 64, .out = 16, .axis = {ONE, ONE, ONE}}},
    /* panels; several strips, a rest of the last 16 steps */
    {PLAIN_C4,
     1,
     {1, 6, 9},
     {.groups = 1, .in = 5, .out = 7, .axis = {ONE, PLAIN(3, 1), PLAIN(3, 1)}}},
    {PLAIN_C4,
     2,
     {1, 9, 18},
     {.groups = 1, .in = 68, .out = 70, .axis = {ONE, PLAIN(3, 1), PLAIN(3, 1)}}},
    {PLAIN_C4,
     1,
     {1, 14, 15},
     {.groups = 3,
      .in = 9,
      .out = 18,
      .is_unsigned = true,
      .axis = {ONE, {3, 2, 2, 2, 1, 0}, {2, 3, 2, 1, 0, 0}}}},
    {PLAIN_C4,
     2,
     {5, 4, 8},
     {.groups = 2, .in = 6, .out = 31, .axis = {{2, 2, 1, 1, 0, 0}, PLAIN(3, 1), PLAIN(2, 0)}}},
    {PLAIN_C4, 1, {3, 7, 5}, {.groups = 1, .in = 36, .out = 48, .axis = {ONE, ONE, ONE}}},
    /* more border than pixels */
    {PLAIN_GATHERED,
     1,
     {1, 7, 6},
     {.groups = 1, .in = 64, .out = 18, .axis = {ONE, PLAIN(3, 1), PLAIN(5, 0)}}},
    {PLAIN_GATHERED,
     2,
     {2, 21, 8},
     {.groups = 2, .in = 7, .out = 16, .axis = {PLAIN(2, 1), PLAIN(2, 0), PLAIN(7, 0)}}},
    {PLAIN_GATHERED,
     1,
     {1, 9, 9},
     {.groups = 1, .in = 3, .out = 33, .axis = {ONE, {2, 1, 4, 0, 0, 0}, {2, 1, 7, 0, 0, 0}}}},
    /* one channel or few, four taps of a row in a step */
    {PLAIN_KW4,
     2,
     {1, 13, 21},
     {.groups = 1,
      .in = 3,
      .out = 33,
      .kw4 = true,
      .axis = {ONE, {7, 2, 1, 3, 3, 0}, {7, 2, 1, 3, 3, 0}}}},
    {PLAIN_KW4,
     1,
     {5, 5, 40},
     {.groups = 1,
      .in = 1,
      .out = 15,
      .kw4 = true,
      .axis = {{2, 3, 1, 1, 0, 0}, PLAIN(3, 1), {6, 1, 4, 2, 9, 0}}}},
    {PLAIN_KW4,
     1,
     {2, 9, 70},
     {.groups = 1,
      .in = 2,
      .out = 66,
      .kw4 = true,
      .axis = {ONE, {2, 3, 2, 0, 1, 0}, {4, 4, 1, 0, 3, 0}}}},
    {PLAIN_KW4, /* threads begin in the midst of a strip */
     1,
     {1, 54, 4},
     {.groups = 1, .in = 4, .out = 200, .kw4 = true, .axis = {ONE, PLAIN(7, 0), PLAIN(4, 0)}}},
    /* transposed: a stride's pieces, each with its results apart */
    {PLAIN_STRAIGHT,
     1,
     {1, 5, 6},
     {.transposed = true, .groups = 1, .in = 64, .out = 9, .axis = {ONE, PLAIN(3, 1), ONE}}},
    {PLAIN_STRAIGHT, /* rows without a border between them go to every second row */
     1,
     {1, 5, 6},
     {.transposed = true, .groups = 1, .in = 64, .out = 9, .axis = {ONE, {3, 2, 1, 1, 1, 0}, ONE}}},
    {PLAIN_STRAIGHT | PLAIN_SCATTERED,
     2,
     {1, 5, 9},
     {.transposed = true,
      .groups = 2,
      .in = 64,
      .out = 17,
      .axis = {ONE, {3, 2, 1, 1, 1, 1}, {4, 2, 1, 1, 1, 0}}}},
    {PLAIN_C4 | PLAIN_SCATTERED,
     1,
     {3, 6, 7},
     {.transposed = true,
      .groups = 1,
      .in = 10,
      .out = 40,
      .axis = {{2, 2, 1, 0, 0, 0}, {3, 1, 2, 1, 1, 0}, {5, 2, 1, 2, 2, 1}}}},
    {PLAIN_STRAIGHT | PLAIN_SCATTERED, /* pieces without a tap: biases alone */
     1,
     {1, 4, 5},
     {.transposed = true,
      .groups = 1,
      .in = 64,
      .out = 6,
      .axis = {ONE, {1, 3, 1, 0, 0, 2}, {1, 2, 1, 0, 0, 1}}}},
    {PLAIN_STRAIGHT | PLAIN_SCATTERED, /* a strip of pixels that each stand alone */
     1,
     {1, 256, 1},
     {.transposed = true, .groups = 1, .in = 64, .out = 3, .axis = {ONE, ONE, {1, 2, 1, 0, 0, 0}}}},
};

/* The operands of a layer in blocks of their own, each exactly as long as it has to be. */
typedef struct {
    const pqc_conv_shape *shape;
    ptrdiff_t taps, inputs; /* of a channel */
    int16_t *q;             /* the activations as integers, batch x groups * in x inputs */
    uint8_t *w;
    float *x, *scale, *bias;
    void *memory; /* of `packed` */
    pqc_packed_weights packed;
    pqc_conv_call call;
} operands;

static void *block(ptrdiff_t count, size_t size)
{
    return malloc((size_t)count * size);
}

/* Full of what no one has to read before writing it. */
static void *aligned_block(ptrdiff_t bytes)
{
    CHECK(bytes > 0 && bytes % 64 == 0, "%td bytes", bytes);
    void *memory = line_alloc((size_t)bytes);
    memset(memory, 0xa5, (size_t)bytes);
    return memory;
}

static void fill_operands(operands *o, ptrdiff_t activations, ptrdiff_t weights, bool extreme)
{
    int low = -(int)o->call.q.zero, lowest = o->shape->is_unsigned ? 0 : -128;
    for (ptrdiff_t i = 0; i < activations; i++) {
        o->q[i] = (int16_t)random_byte(extreme, low, low + 255);
        o->x[i] = (float)o->q[i];
    }
    for (ptrdiff_t i = 0; i < weights; i++)
        o->w[i] = (uint8_t)random_byte(extreme, lowest, 127);
    for (ptrdiff_t c = 0; c < o->shape->groups * o->shape->out; c++) {
        o->scale[c] = ldexpf(1.0f + (float)(random_bits() >> 9) * 0x1p-23f, (int)(c % 9));
        o->bias[c] = (float)(int32_t)random_bits() * 0x1p-16f;
    }
}

/* `turn` goes over activations with a zero and without, and biases. */
static void open_operands(operands *o, const pqc_conv_shape *shape, ptrdiff_t batch,
                          ptrdiff_t inputs, unsigned turn)
{
    ptrdiff_t channels = shape->groups * shape->out;
    ptrdiff_t activations = batch * shape->groups * shape->in * inputs;
    *o = (operands){.shape = shape, .taps = 1, .inputs = inputs};
    for (int axis = 0; axis < PQC_AXES; axis++)
        o->taps *= shape->axis[axis].kernel;
    o->q = block(activations, sizeof *o->q);
    o->x = block(activations, sizeof *o->x);
    o->w = block(channels * shape->in * o->taps, 1);
    o->scale = block(channels, sizeof *o->scale);
    o->bias = block(channels, sizeof *o->bias);
    o->call = (pqc_conv_call){.x = o->x,
                              .bias = turn % 3 == 2 ? NULL : o->bias,
                              .batch = batch,
                              .backwards = turn / 3 % 2,
                              .q = turn % 2 ? (pqc_u8_quant){1.0f, 0.0f, 255.0f, 0, false}
                                            : (pqc_u8_quant){1.0f, -128.0f, 127.0f, 128, false},
                              .div = 3.7f};
    fill_operands(o, activations, channels * shape->in * o->taps, turn / 2 % 2);
    o->memory = aligned_block(pqc_packed_weights_bytes(shape, false));
    pqc_pack_weights(&o->packed, shape, false, o->memory, o->w, o->scale);
}

static void close_operands(operands *o)
{
    free(o->q), free(o->x), free(o->w), free(o->scale), free(o->bias);
    line_free(o->memory);
}

static float result(const operands *o, int64_t sum, ptrdiff_t channel)
{
    double scale = 1.0 / ((double)o->call.div * (double)o->scale[channel]);
    return fmaf((float)sum, (float)scale, o->call.bias ? o->bias[channel] : 0.0f);
}

/* The input that a tap sees, or -1 if it is none. */
static ptrdiff_t input_of(const pqc_conv_axis *a, bool transposed, ptrdiff_t size, ptrdiff_t output,
                          ptrdiff_t tap)
{
    ptrdiff_t at = output * a->stride + tap * a->dilation - a->before;
    if (transposed) {
        at = output + a->before - tap * a->dilation;
        at = at >= 0 && at % a->stride == 0 ? at / a->stride : -1;
    }
    return at >= 0 && at < size ? at : -1;
}

/* What one tap adds: products of all input channels. */
static int64_t exact_tap(const operands *o, ptrdiff_t image, ptrdiff_t channel, ptrdiff_t input,
                         ptrdiff_t tap)
{
    const pqc_conv_shape *s = o->shape;
    ptrdiff_t group = channel / s->out, first = channel * s->in, step = 1;
    if (s->transposed) {
        first = group * s->in * s->out + channel % s->out;
        step = s->out;
    }
    const int16_t *q = o->q + (image * s->groups + group) * s->in * o->inputs + input;
    const int8_t *w = (const int8_t *)o->w + first * o->taps + tap;
    int64_t sum = 0;
    for (ptrdiff_t c = 0; c < s->in; c++)
        sum += q[c * o->inputs] * w[c * step * o->taps];
    return sum;
}

/* What each tap sees for an output, in all channels alike. */
static void inputs_of(const operands *o, const pqc_conv_view *view, ptrdiff_t output,
                      ptrdiff_t input[MAX_TAPS])
{
    const pqc_conv_axis *axis = o->shape->axis;
    for (ptrdiff_t tap = 0; tap < o->taps; tap++) {
        ptrdiff_t to = output, t = tap, pitch = 1;
        input[tap] = 0;
        for (int i = PQC_AXES - 1; i >= 0 && input[tap] >= 0; i--) {
            const pqc_conv_axis_layout *plane = &view->axis[i];
            ptrdiff_t at = input_of(&axis[i], o->shape->transposed, plane->in, to % plane->out,
                                    t % axis[i].kernel);
            input[tap] = at < 0 ? -1 : input[tap] + at * pitch;
            pitch *= plane->in;
            to /= plane->out;
            t /= axis[i].kernel;
        }
    }
}

static void check_output(const operands *o, const pqc_conv_view *view, ptrdiff_t output,
                         const float *y, ptrdiff_t number)
{
    ptrdiff_t channels = o->shape->groups * o->shape->out, input[MAX_TAPS];
    inputs_of(o, view, output, input);
    for (ptrdiff_t i = 0; i < o->call.batch * channels; i++) {
        int64_t sum = 0;
        for (ptrdiff_t tap = 0; tap < o->taps; tap++)
            if (input[tap] >= 0)
                sum += exact_tap(o, i / channels, i % channels, input[tap], tap);
        float got = y[i * view->outputs + output], want = result(o, sum, i % channels);
        CHECK(bits_f32(got) == bits_f32(want),
              "layer %td, zero %d, image %td, channel %td, output %td: %a, not %a", number,
              (int)o->call.q.zero, i / channels, i % channels, output, (double)got, (double)want);
    }
}

static void check_layer(const layer *l, ptrdiff_t number, unsigned turn)
{
    operands o;
    pqc_conv_view view;
    pqc_conv_shape shape = l->shape;
    shape.amx = &plain_amx;
    open_operands(&o, &shape, l->batch, l->size[0] * l->size[1] * l->size[2], turn);
    bool fits = pqc_conv_view_init(&view, &shape, l->size);
    CHECK(fits && o.taps <= MAX_TAPS, "layer %td has no outputs", number);
    ptrdiff_t n = l->batch * shape.groups * shape.out * view.outputs;
    float *y = block(n, sizeof *y);
    void *workspace = aligned_block(pqc_conv_prepare(&o.packed, &view, &o.call));
    o.call.y = y;
    o.call.workspace = workspace;
    memset(y, 0xff, (size_t)n * sizeof *y);
    unsigned flags = pqc_conv_run(&o.packed, &view, &o.call), ways = plain_amx_ways();
    CHECK(flags == 0 && ways == l->ways, "layer %td: flags %u, ways %#x", number, flags, ways);
    for (ptrdiff_t output = 0; output < view.outputs; output++)
        check_output(&o, &view, output, y, number);
    free(y);
    line_free(workspace);
    close_operands(&o);
}

/* One row goes without the matrix unit, with its weights as they lie for it. */
static void check_linear(ptrdiff_t rows, ptrdiff_t in, ptrdiff_t out, unsigned turn)
{
    operands o;
    pqc_conv_shape shape = {.groups = 1,
                            .in = in,
                            .out = out,
                            .is_unsigned = turn % 5 == 4,
                            .matrix = true,
                            .amx = &plain_amx,
                            .axis = {ONE, ONE, ONE}};
    open_operands(&o, &shape, rows, 1, turn);
    float *y = block(rows * out, sizeof *y);
    void *workspace = aligned_block(pqc_linear_workspace(&o.packed, rows));
    o.call.y = y;
    o.call.workspace = workspace;
    memset(y, 0xff, (size_t)(rows * out) * sizeof *y);
    unsigned flags = pqc_linear_run(&o.packed, &o.call), ways = plain_amx_ways();
    CHECK(flags == 0 && ways == (rows > 1 ? PLAIN_ROWS : 0), "flags %u, ways %#x", flags, ways);
    for (ptrdiff_t i = 0; i < rows * out; i++) {
        float want = result(&o, exact_tap(&o, i / out, i % out, 0, 0), i % out);
        CHECK(bits_f32(y[i]) == bits_f32(want),
              "row %td of %td, channel %td of %td, %td inputs, turn %u: %a, not %a", i / out, rows,
              i % out, out, in, turn, (double)y[i], (double)want);
    }
    free(y);
    line_free(workspace);
    close_operands(&o);
}

void test_conv_amx(void)
{
    static const ptrdiff_t rows[] = {1, 2, 3, 15, 16, 17, 33, 48, 64, 70};
    static const ptrdiff_t in[] = {1, 5, 64, 130}, out[] = {1, 16, 33, 70};
    int before = pqc_get_num_threads();
    static unsigned turn; /* goes on from one instruction set to the next */
    pqc_set_num_threads(THREADS);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        check_layer(&layers[i], (ptrdiff_t)i, turn++);
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        for (size_t c = 0; c < sizeof out / sizeof *out; c++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                check_linear(rows[r], in[i], out[c], turn++);
    if (pqc_selected() == PQC_BIT(PQC_SCALAR)) { /* large ones, for which one time is enough */
        for (unsigned i = 0; i < 12; i += 3) {   /* forwards and backwards, in parts and in one */
            pqc_set_num_threads(i < 6 ? 3 : 1);
            check_linear(65, 3416, 129, i);    /* two groups of blocks, the second shorter */
            check_linear(66, 16388, 1, i + 1); /* two strips of rows, the second shorter */
        }
        check_linear(0, 16, 16, 0);
    }
    pqc_set_num_threads(before);
}
