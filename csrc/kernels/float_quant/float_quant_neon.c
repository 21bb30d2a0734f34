/* Rounding of float32 to 4 to 8 bit floats and back, with NEON; see float_quant.h. */
#include "float_quant.h"

#if PQC_ARM
#include <arm_neon.h>

typedef struct {
    float32x4_t lo, hi, tiny;
    uint32x4_t normal, magic;
} format4;

static inline format4 format4_of(const pqc_float_format *f)
{
    return (format4){vdupq_n_f32(f->lo), vdupq_n_f32(f->hi), vdupq_n_f32(f->tiny),
                     vdupq_n_u32((uint32_t)pqc_normal_bits(f)),
                     vdupq_n_u32((uint32_t)pqc_magic_bits(f))};
}

/* FMAX and FMIN return NaN if an operand is NaN: NaN passes. */
static inline float32x4_t nearest4(float32x4_t v, format4 f)
{
    v = vmaxq_f32(f.lo, v);
    v = vminq_f32(f.hi, v);
    uint32x4_t exponent = vandq_u32(vreinterpretq_u32_f32(v), vdupq_n_u32(PQC_EXPONENT_BITS));
    exponent = vmaxq_u32(exponent, f.normal);
    float32x4_t magic = vreinterpretq_f32_u32(vaddq_u32(exponent, f.magic));
    float32x4_t rounded = vsubq_f32(vaddq_f32(v, magic), magic);
    return vbslq_f32(vdupq_n_u32(0x80000000), v, rounded);
}

/* +0 where |x| < tiny, else y. */
static inline float32x4_t zero_tiny4(float32x4_t x, float32x4_t y, format4 f)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), vcaltq_f32(x, f.tiny)));
}

void pqc_float_quant_f32_neon(const float *x, float *y, ptrdiff_t n, pqc_float_scale q,
                              const pqc_float_format *f)
{
    float32x4_t mul = vdupq_n_f32(q.mul), div = vdupq_n_f32(q.div);
    format4 format = format4_of(f);
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = vld1q_f32(x + i);
        float32x4_t rounded = nearest4(vmulq_f32(v, mul), format);
        vst1q_f32(y + i, zero_tiny4(v, vdivq_f32(rounded, div), format));
    }
    pqc_float_quant_f32_scalar(x + i, y + i, n - i, q, f);
}

void pqc_float_quant_each_f32_neon(const float *x, float *y, ptrdiff_t n, const float *mul,
                                   const float *div, const pqc_float_format *f)
{
    format4 format = format4_of(f);
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = vld1q_f32(x + i);
        float32x4_t rounded = nearest4(vmulq_f32(v, vld1q_f32(mul + i)), format);
        vst1q_f32(y + i, zero_tiny4(v, vdivq_f32(rounded, vld1q_f32(div + i)), format));
    }
    pqc_float_quant_each_f32_scalar(x + i, y + i, n - i, mul + i, div + i, f);
}

#endif
