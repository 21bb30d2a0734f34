#include "requantize.h"
#include "pqc.h"

#if PQC_ARM
#include <arm_neon.h>

static inline float32x4_t dequantized(const int32_t *acc, float32x4_t scale, float32x4_t bias)
{
    return vfmaq_f32(bias, vcvtq_f32_s32(vld1q_s32(acc)), scale);
}

/* What is left of `sums` from a pixel and a channel on. */
static pqc_sums rest_of(pqc_sums sums, int pixel, int channel)
{
    return (pqc_sums){sums.acc + pixel * sums.ld + channel, sums.ld, sums.pixels - pixel,
                      sums.channels - channel};
}

void pqc_requantize_nhwc_neon(pqc_sums sums, const float *scale, const float *bias, float *y,
                              ptrdiff_t stride)
{
    int c = 0;
    for (; c + 4 <= sums.channels; c += 4) {
        float32x4_t s = vld1q_f32(scale + c), b = vld1q_f32(bias + c);
        for (int p = 0; p < sums.pixels; p++)
            vst1q_f32(y + p * stride + c, dequantized(sums.acc + p * sums.ld + c, s, b));
    }
    pqc_requantize_nhwc_scalar(rest_of(sums, 0, c), scale + c, bias + c, y + c, stride);
}

static inline void store_transposed(const float32x4_t r[4], float *y, ptrdiff_t stride)
{
    float32x4x2_t a = vtrnq_f32(r[0], r[1]), b = vtrnq_f32(r[2], r[3]);
    for (int i = 0; i < 2; i++) {
        vst1q_f32(y + i * stride, vcombine_f32(vget_low_f32(a.val[i]), vget_low_f32(b.val[i])));
        vst1q_f32(y + (i + 2) * stride,
                  vcombine_f32(vget_high_f32(a.val[i]), vget_high_f32(b.val[i])));
    }
}

void pqc_requantize_nchw_neon(pqc_sums sums, const float *scale, const float *bias, float *y,
                              ptrdiff_t stride)
{
    int c = 0, whole = sums.pixels & ~3;
    for (; c + 4 <= sums.channels; c += 4) {
        float32x4_t s = vld1q_f32(scale + c), b = vld1q_f32(bias + c);
        for (int p = 0; p < whole; p += 4) {
            float32x4_t r[4];
            for (int i = 0; i < 4; i++)
                r[i] = dequantized(sums.acc + (p + i) * sums.ld + c, s, b);
            store_transposed(r, y + c * stride + p, stride);
        }
    }
    pqc_sums right = rest_of(sums, 0, c), below = rest_of(sums, whole, 0);
    right.pixels = whole;
    pqc_requantize_nchw_scalar(right, scale + c, bias + c, y + c * stride, stride);
    pqc_requantize_nchw_scalar(below, scale, bias, y + whole, stride);
}

#endif
