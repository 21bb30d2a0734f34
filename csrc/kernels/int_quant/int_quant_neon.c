/* Symmetric integer quantisation of float32, and with dequantisation (fake), with NEON; see int_quant.h. */
#include "int_quant.h"

#if PQC_ARM
#include "int_quant_neon.h"

void pqc_quantize_f32_neon(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    float32x4_t mul = vdupq_n_f32(q.mul), lo = vdupq_n_f32(q.lo), hi = vdupq_n_f32(q.hi);
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, quantize4(vld1q_f32(x + i), mul, lo, hi));
    pqc_quantize_f32_scalar(x + i, y + i, n - i, q);
}

void pqc_fake_quant_f32_neon(const float *x, float *y, ptrdiff_t n, pqc_int_quant q)
{
    float32x4_t mul = vdupq_n_f32(q.mul), lo = vdupq_n_f32(q.lo), hi = vdupq_n_f32(q.hi);
    float32x4_t div = vdupq_n_f32(q.div);
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vdivq_f32(quantize4(vld1q_f32(x + i), mul, lo, hi), div));
    pqc_fake_quant_f32_scalar(x + i, y + i, n - i, q);
}

void pqc_quantize_each_f32_neon(const float *x, float *y, ptrdiff_t n, const float *mul,
                                const float *div, pqc_int_quant q)
{
    float32x4_t lo = vdupq_n_f32(q.lo), hi = vdupq_n_f32(q.hi);
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, quantize4(vld1q_f32(x + i), vld1q_f32(mul + i), lo, hi));
    pqc_quantize_each_f32_scalar(x + i, y + i, n - i, mul + i, div + i, q);
}

void pqc_fake_quant_each_f32_neon(const float *x, float *y, ptrdiff_t n, const float *mul,
                                  const float *div, pqc_int_quant q)
{
    float32x4_t lo = vdupq_n_f32(q.lo), hi = vdupq_n_f32(q.hi);
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = quantize4(vld1q_f32(x + i), vld1q_f32(mul + i), lo, hi);
        vst1q_f32(y + i, vdivq_f32(v, vld1q_f32(div + i)));
    }
    pqc_fake_quant_each_f32_scalar(x + i, y + i, n - i, mul + i, div + i, q);
}

#endif
