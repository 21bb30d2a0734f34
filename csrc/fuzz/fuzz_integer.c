/* Convolutions of any shape, from packing the weights to the floats that come out. */
#include "conv.h"
#include "fuzz.h"

#include <math.h>

static void any_axis(input *in, pqc_conv_axis *a, ptrdiff_t *size)
{
    *a = (pqc_conv_axis){.kernel = pick(in, 1, 4),
                         .stride = pick(in, 1, 4),
                         .dilation = pick(in, 1, 3),
                         .before = pick(in, 0, 4),
                         .after = pick(in, 0, 4)};
    a->extra = pick(in, 0, (int)a->stride - 1);
    *size = pick(in, 1, 12);
}

static pqc_conv_shape any_shape(input *in, ptrdiff_t *size)
{
    pqc_conv_shape s = {.transposed = pick(in, 0, 1), .is_unsigned = pick(in, 0, 1)};
    bool straight = pick(in, 0, 3) == 0; /* a matrix unit reads such images as they lie */
    s.groups = pick(in, 1, straight ? 2 : 4);
    s.in = straight ? 64 : pick(in, 1, 20);
    s.out = pick(in, 1, straight ? 20 : 80);
    for (int axis = 0; axis < PQC_AXES; axis++) {
        s.axis[axis] = (pqc_conv_axis){.kernel = 1, .stride = 1, .dilation = 1};
        size[axis] = 1;
        if (axis > 0)
            any_axis(in, &s.axis[axis], &size[axis]);
    }
    if (pick(in, 0, 3) == 0) /* what goes by Winograd's products, if it is large enough */
        for (int axis = 1; axis < PQC_AXES; axis++) {
            s.axis[axis].kernel = 3;
            s.axis[axis].stride = s.axis[axis].dilation = 1;
            s.axis[axis].extra = 0;
        }
    s.kw4 = pqc_conv_wants_kw4(&s);
    return s;
}

/* The result, and the flags; on the matrix unit of the table, if it wants the layer. */
static float *result(pqc_conv_shape *s, bool wide, const uint8_t *w, const float *scale,
                     const ptrdiff_t *size, pqc_conv_call call, unsigned *flags, ptrdiff_t *n)
{
    pqc_packed_weights packed;
    pqc_conv_view view;
    s->amx = pqc_conv_wanted_amx(s, wide);
    ptrdiff_t bytes = pqc_packed_weights_bytes(s, wide);
    void *memory = aligned_alloc(64, (size_t)(bytes + 63) / 64 * 64);
    pqc_pack_weights(&packed, s, wide, memory, w, scale);
    float *y = NULL;
    if (pqc_conv_view_init(&view, s, size)) {
        ptrdiff_t room = pqc_conv_prepare(&packed, &view, &call);
        *n = call.batch * s->groups * s->out * view.outputs;
        y = block(NULL, (size_t)*n * sizeof *y);
        call.y = y;
        call.workspace = aligned_alloc(64, (size_t)(room + 63) / 64 * 64);
        *flags = pqc_conv_run(&packed, &view, &call) != 0;
        free(call.workspace);
    }
    free(memory);
    return y;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    ptrdiff_t sizes[PQC_AXES], n = 0;
    pqc_conv_shape s = any_shape(&in, sizes);
    pqc_int_format format = {pick(&in, 2, 8), pick(&in, 0, 1), pick(&in, 0, 1)};
    pqc_conv_call call = {.batch = pick(&in, 1, 3), .backwards = pick(&in, 0, 1)};
    float amax = fabsf(take_float(&in));
    ptrdiff_t weights = s.groups * s.in * s.out, inputs = call.batch * s.groups * s.in;
    for (int axis = 0; axis < PQC_AXES; axis++) {
        weights *= s.axis[axis].kernel;
        inputs *= sizes[axis];
    }
    if (!(amax > 1e-3f && amax < 1e3f))
        amax = 1.0f;
    pqc_int_quant q = pqc_int_quant_init(amax, format);
    call.q = pqc_u8_quant_of(q, format);
    call.div = q.div;
    uint8_t *w = block(&in, (size_t)weights);
    float *x = block(&in, (size_t)inputs * sizeof *x), *scale = block(NULL, 320 * sizeof *scale);
    float *bias = block(NULL, 320 * sizeof *bias);
    bool wide = false;
    for (ptrdiff_t i = 0; i < weights; i++)
        wide = wide || (s.is_unsigned && w[i] > 127);
    for (int i = 0; i < 320; i++) {
        scale[i] = 1.0f + (float)i / 8;
        bias[i] = (float)i - 100.0f;
    }
    call.x = x;
    call.bias = format.narrow_range ? bias : NULL;
    unsigned flags = 0, other = 0;
    pqc_select(0);
    float *want = result(&s, wide, w, scale, sizes, call, &flags, &n);
    for (int isa = PQC_SCALAR; want && next_isa(&isa);) {
        float *got = result(&s, wide, w, scale, sizes, call, &other, &n);
        expect_bytes(&other, &flags, sizeof flags, "flags of a convolution");
        if (!flags)
            expect_floats(got, want, n, "convolution");
        free(got);
    }
    free(want), free(w), free(x), free(scale), free(bias);
    return 0;
}
