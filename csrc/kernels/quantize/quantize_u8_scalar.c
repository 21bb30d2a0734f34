#include "quantize_u8.h"

#include <math.h>

static inline uint8_t quantize(float x, pqc_u8_quant q, unsigned *flags)
{
    float v = rintf(x * q.mul);
    if (x < 0.0f && q.zero == 0)
        *flags |= PQC_U8_NEGATIVE;
    if (v != v) {
        *flags |= PQC_U8_NAN;
        return 0;
    }
    v = v < q.lo ? q.lo : v;
    v = v > q.hi ? q.hi : v;
    return (uint8_t)((int32_t)v + q.zero);
}

unsigned pqc_quantize_u8_scalar(const float *x, uint8_t *y, ptrdiff_t n, pqc_u8_quant q)
{
    unsigned flags = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = quantize(x[i], q, &flags);
    return flags;
}

unsigned pqc_quantize_u8_quads_scalar(const float *x, ptrdiff_t stride, int rows, uint8_t *y,
                                      ptrdiff_t n, pqc_u8_quant q)
{
    unsigned flags = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        for (int r = 0; r < 4; r++)
            y[4 * i + r] = r < rows ? quantize(x[r * stride + i], q, &flags) : (uint8_t)q.zero;
    return flags;
}
