/* Kernels from floats to floats, one of them for each input. */
#include "fuzz.h"

#include <math.h>

enum { OPERATIONS = 17 };

typedef struct {
    int operation;
    ptrdiff_t n;
    const float *x, *other, *mul, *div;
    pqc_int_quant q;
    pqc_float_format format;
    float amax;
    pqc_affine affine;
} call;

static void run_float(const call *c, float *y)
{
    switch (c->operation) {
    case 0:
        pqc.quantize_f32(c->x, y, c->n, c->q);
        return;
    case 1:
        pqc.fake_quant_f32(c->x, y, c->n, c->q);
        return;
    case 2:
        pqc.fake_quant_stream_f32(c->x, y, c->n, c->q);
        return;
    case 3:
        pqc.quantize_each_f32(c->x, y, c->n, c->mul, c->div, c->q);
        return;
    case 4:
        pqc.fake_quant_each_f32(c->x, y, c->n, c->mul, c->div, c->q);
        return;
    case 5:
        pqc.float_quant_f32(c->x, y, c->n, pqc_float_scale_init(c->amax, &c->format), &c->format);
        return;
    case 6:
        pqc.float_quant_each_f32(c->x, y, c->n, c->mul, c->div, &c->format);
        return;
    case 7:
        pqc.ste_f32(c->x, c->other, y, c->n, c->amax);
        return;
    case 8:
        pqc.ste_each_f32(c->x, c->other, y, c->n, c->mul);
        return;
    case 9:
        pqc.affine_f32(c->x, y, c->n, c->affine);
        return;
    case 10:
        y[0] = c->n > 0 ? pqc.amax_f32(c->x, c->n) : 0.0f;
        return;
    }
    memcpy(y, c->mul, (size_t)c->n * sizeof *y); /* magnitudes so far */
    pqc.amax_each_f32(c->x, y, c->n);
}

/* The halves are the first n of x's 2 n. */
static void run_half(const call *c, float *y)
{
    const uint16_t *x = (const uint16_t *)c->x;
    switch (c->operation) {
    case 12:
        pqc.f16_to_f32(x, y, c->n);
        return;
    case 13:
        pqc.bf16_to_f32(x, y, c->n);
        return;
    case 14:
        pqc.f32_to_f16(c->x, (uint16_t *)y, c->n);
        pqc.f16_to_f32((uint16_t *)y, y + c->n, c->n);
        break;
    case 15:
        pqc.fake_quant_f16(x, (uint16_t *)y, c->n, c->q);
        pqc.f16_to_f32((uint16_t *)y, y + c->n, c->n);
        break;
    case 16:
        pqc.fake_quant_bf16(x, (uint16_t *)y, c->n, c->q);
        pqc.bf16_to_f32((uint16_t *)y, y + c->n, c->n);
        break;
    }
    memset(y, 0, (size_t)c->n * sizeof *y); /* compared as floats, where NaN equals NaN */
}

static float *result(const call *c)
{
    float *y = block(NULL, (size_t)c->n * 2 * sizeof *y + sizeof *y);
    (c->operation < 12 ? run_float : run_half)(c, y);
    return y;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    call c = {.operation = pick(&in, 0, OPERATIONS - 1), .n = pick(&in, 0, 200)};
    pqc_int_format format = {pick(&in, 0, 32), pick(&in, 0, 1), pick(&in, 0, 1)};
    format.num_bits += format.num_bits == 1;
    c.amax = fabsf(take_float(&in));
    c.q = pqc_int_quant_init(c.amax, format);
    float low = take_float(&in);
    static const int floats[][2] = {{5, 2}, {4, 3}, {3, 2}, {2, 3}, {2, 1}};
    const int *bits = floats[pick(&in, 0, 4)];
    c.format = pqc_float_format_init(bits[0], bits[1]);
    c.affine = pqc_affine_init(low, take_float(&in), pick(&in, 1, 32));
    size_t bytes = (size_t)c.n * sizeof(float);
    float *x = block(&in, bytes), *other = block(&in, bytes), *amax = block(&in, bytes);
    float *mul = block(NULL, bytes), *div = block(NULL, bytes);
    for (ptrdiff_t i = 0; i < c.n; i++)
        amax[i] = fabsf(amax[i]);
    pqc_int_scales(amax, mul, div, c.n, format);
    c.x = x, c.other = other, c.mul = mul, c.div = div;
    pqc_select(0);
    float *want = result(&c);
    for (int isa = PQC_SCALAR; next_isa(&isa);) {
        float *got = result(&c);
        char what[] = "operation 00";
        snprintf(what, sizeof what, "operation %d", c.operation);
        expect_floats(got, want, c.operation == 10 ? 1 : c.operation < 14 ? c.n : 2 * c.n, what);
        free(got);
    }
    free(want), free(x), free(other), free(amax), free(mul), free(div);
    return 0;
}
