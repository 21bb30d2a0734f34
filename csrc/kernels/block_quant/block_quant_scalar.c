/* Blocks of float32 that share a step, and element codes of up to 8 bits, in plain C; see block_quant.h. */
#include "block_quant.h"

#include "float_quant/float_quant_scalar.h"

#include <string.h>

void pqc_block_quant_f32_scalar(const float *x, float *y, ptrdiff_t n, float step, float back,
                                const pqc_float_format *f)
{
    if (step == 0.0f) {
        memset(y, 0, (size_t)n * sizeof *y);
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = pqc_nearest(x[i] / step, f) * back;
}

void pqc_block_quant_f64_scalar(const double *x, double *y, ptrdiff_t n, float step, float back,
                                const pqc_float_format *f)
{
    if (step == 0.0f) {
        memset(y, 0, (size_t)n * sizeof *y);
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = pqc_nearest_f64(x[i] / (double)step, f) * (double)back;
}

void pqc_encode_elements_scalar(const float *q, uint8_t *codes, ptrdiff_t n,
                                const pqc_float_format *f)
{
    pqc_encoding e = pqc_encoding_of(f);
    for (ptrdiff_t i = 0; i < n; i++) {
        float size = fabsf(q[i]);
        bool is_normal = size >= e.normal;
        uint32_t bits = pqc_bits_of(is_normal ? size : size + e.normal);
        uint32_t code = (bits >> e.shift) - (uint32_t)(is_normal ? e.rebias : e.rebias_subnormal);
        code |= (pqc_bits_of(q[i]) & 0x80000000u) >> e.sign_shift;
        codes[i] = (uint8_t)(q[i] == q[i] ? code : (uint32_t)f->nan_code);
    }
}

void pqc_decode_elements_scalar(const uint8_t *codes, float *y, ptrdiff_t n, const float *table,
                                float step)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = table[codes[i]] * step;
}
