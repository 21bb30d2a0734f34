/* float16 and bfloat16 to float32 and back, in plain C; see half.h. */
#include "half.h"

#include "bits.h"

enum {
    F32_INF = 0x7f800000,
    F32_2_TO_16 = 0x47800000,
    F32_2_TO_MINUS_14 = 0x38800000, /* the smallest normal float16 */
    BIAS_STEP = (127 - 15) << 23,   /* difference of the exponent biases of float16 and float32 */
};

static inline float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
    uint32_t exponent = h & 0x7c00, quiet = (h & 0x3ff) != 0 ? 0x400000 : 0;
    if (exponent == 0x7c00)
        return pqc_float_of(sign | F32_INF | rest | quiet);
    if (exponent != 0)
        return pqc_float_of(sign | (rest + BIAS_STEP));
    /* 2^-14 * (1 + m) - 2^-14 */
    float tiny = pqc_float_of(rest + F32_2_TO_MINUS_14) - 0x1p-14f;
    return pqc_float_of(sign | pqc_bits_of(tiny));
}

static inline uint32_t round_shift(uint32_t bits, int shift)
{
    uint32_t odd = (bits >> shift) & 1;
    return (bits + (1u << (shift - 1)) - 1 + odd) >> shift;
}

static inline uint16_t f32_to_f16(float f)
{
    uint32_t bits = pqc_bits_of(f), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    uint32_t h;
    if (size > F32_INF)
        h = 0x7e00 | (size >> 13 & 0x3ff);
    else if (size >= F32_2_TO_16)
        h = 0x7c00;
    else if (size >= F32_2_TO_MINUS_14)
        h = round_shift(size - BIAS_STEP, 13); /* from 65520 on the carry gives infinity */
    else /* near 0.5, the last bit of a float32 is worth 2^-24, like that of a subnormal float16 */
        h = pqc_bits_of(pqc_float_of(size) + 0.5f) - pqc_bits_of(0.5f);
    return (uint16_t)(sign | h);
}

static inline uint16_t f32_to_bf16(float f)
{
    uint32_t bits = pqc_bits_of(f);
    bool nan = (bits & 0x7fffffff) > F32_INF;
    return (uint16_t)(nan ? bits >> 16 | 0x40 : round_shift(bits, 16));
}

void pqc_f16_to_f32_scalar(const uint16_t *x, float *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = f16_to_f32(x[i]);
}

void pqc_f32_to_f16_scalar(const float *x, uint16_t *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = f32_to_f16(x[i]);
}

void pqc_bf16_to_f32_scalar(const uint16_t *x, float *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = pqc_float_of((uint32_t)x[i] << 16);
}

void pqc_f32_to_bf16_scalar(const float *x, uint16_t *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = f32_to_bf16(x[i]);
}
