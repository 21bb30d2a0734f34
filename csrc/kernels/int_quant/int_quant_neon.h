/* Integer quantisation in NEON registers, shared by the float32 and half bodies. */
#ifndef PQC_INT_QUANT_NEON_H
#define PQC_INT_QUANT_NEON_H

#include <arm_neon.h>

#include "quant_params/quant_params.h"

/* The comparisons are false for NaN and for -0 < 0, so both pass as on the other ISAs.  FMAX would turn -0 into lo =
 * 0. */
static inline float32x4_t quantize4(float32x4_t x, float32x4_t mul, float32x4_t lo, float32x4_t hi)
{
    float32x4_t v = vrndnq_f32(vmulq_f32(x, mul));
    return vminq_f32(hi, vbslq_f32(vcltq_f32(v, lo), lo, v));
}

static inline float32x4_t fake4(float32x4_t x, pqc_int_quant q)
{
    float32x4_t v = quantize4(x, vdupq_n_f32(q.mul), vdupq_n_f32(q.lo), vdupq_n_f32(q.hi));
    return vdivq_f32(v, vdupq_n_f32(q.div));
}

#endif
