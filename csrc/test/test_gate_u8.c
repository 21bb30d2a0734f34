#include "check.h"
#include "dispatch.h"
#include "elementary/elementary_scalar.h"
#include "expect.h"
#include "tests.h"

#include <math.h>

enum { MAX_CHANNELS = 130, MAX_PIXELS = 7, LD = 144 };

typedef struct {
    buffer codes;
    int32_t acc[MAX_PIXELS * LD];
    float scale[MAX_CHANNELS], bias[MAX_CHANNELS];
} room;

static double gate_of(pqc_chain_kind kind, double x)
{
    return kind == PQC_CHAIN_SILU ? x / (1 + exp(-x)) : x * erfc(-x * sqrt(0.5)) / 2;
}

/* The code by the definition, which is next to the function's own value. */
static void check_code(pqc_chain_kind kind, const pqc_pixels *to, float x, uint8_t code)
{
    float y = kind == PQC_CHAIN_SILU ? x * pqc_sigmoid_of(x) : pqc_gelu_of(x);
    int wanted = (int)expect_quantized(y, to->mul, to->lo, to->hi) + to->zero;
    CHECK(code == wanted, "kind %d of %a, mul %a: %d, not %d", (int)kind, (double)x,
          (double)to->mul, code, wanted);
    double exact = gate_of(kind, (double)x) * (double)to->mul;
    exact = exact < (double)to->lo   ? (double)to->lo
            : exact > (double)to->hi ? (double)to->hi
                                     : exact;
    CHECK(fabs(exact + to->zero - code) <= 0.5 + 1e-3, "kind %d of %a, mul %a: %d, not %g",
          (int)kind, (double)x, (double)to->mul, code, exact + to->zero);
}

/* Numbers of all sizes, and those close to the middle between two codes. */
static void fill(room *r, const pqc_pixels *to, unsigned seed)
{
    for (int i = 0; i < MAX_PIXELS * LD; i++)
        r->acc[i] = (int32_t)random_bits() >> (random_bits() % 31);
    for (int c = 0; c < MAX_CHANNELS; c++) {
        float size = seed % 3 == 0 ? 8 : seed % 3 == 1 ? 0x1p-6f : 0x1p10f;
        r->bias[c] = (float)(int32_t)random_bits() * 0x1p-31f * size;
        r->scale[c] = (float)(int32_t)random_bits() * 0x1p-62f * size;
        if (seed % 4 == 1) {
            r->bias[c] = ((float)(c * 2 + 1) / 2 + (float)seed) / to->mul;
            r->scale[c] = 0x1p-52f / to->mul;
        }
    }
}

static void check_case(room *r, pqc_chain_kind kind, unsigned seed)
{
    static const float factors[] = {0.37f, 4.8f, 10.5f, 57.8f, 332, 1024, 0x1p-29f};
    static const int channel_counts[] = {1, 7, 16, 17, 24, 32, 40, 48, 63, 64, 65, 96, 130};
    int channels = channel_counts[seed % 13], pixels = 1 + (int)(seed % MAX_PIXELS);
    int32_t zero = (int32_t)(seed * 31 % 256), narrow = seed % 5 == 0;
    pqc_pixels to = {.content = PQC_U8_CODES,
                     .pixel = channels + (int)(seed % 3) * 5,
                     .mul = factors[seed % 7],
                     .lo = (float)(narrow - zero),
                     .hi = (float)(255 - narrow - zero),
                     .zero = zero};
    size_t bytes = (size_t)((pixels - 1) * to.pixel + channels);
    to.at = buffer_place(&r->codes, bytes, seed % 2);
    pqc_output f = {.scale = r->scale, .bias = r->bias, .outputs = 1, .output = {to}};
    fill(r, &to, seed);
    CHECK(pqc_gate_u8_takes(kind, &to), "mul %a", (double)to.mul);
    pqc.gate_u8(kind, r->acc, LD, pixels, channels, &f);
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++)
            check_code(kind, &to, fmaf((float)r->acc[p * LD + c], r->scale[c], r->bias[c]),
                       ((uint8_t *)to.at)[p * to.pixel + c]);
    CHECK(buffer_guards_intact(&r->codes), "%d pixels, %d channels", pixels, channels);
}

void test_gate_u8(void)
{
    static room r;
    if (!pqc.gate_u8)
        return;
    buffer_open(&r.codes);
    for (unsigned seed = 0; seed < 3000; seed++)
        check_case(&r, seed % 2 ? PQC_CHAIN_GELU : PQC_CHAIN_SILU, seed / 2);
    buffer_close(&r.codes);
}
