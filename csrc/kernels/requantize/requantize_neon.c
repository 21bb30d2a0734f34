/* int32 sums to float32, nchw or nhwc, with NEON; see requantize.h. */
#include "requantize_neon.h"

#if PQC_ARM

PQC_INLINE float32x4_t finished(const int32_t *acc, output4 o)
{
    return finish4(vld1q_s32(acc), o);
}

/* The rest of `sums`, from `pixel` and `channel`. */
static pqc_sums rest_of(pqc_sums sums, int pixel, int channel)
{
    return (pqc_sums){sums.acc + pixel * sums.ld + channel, sums.ld, sums.pixels - pixel,
                      sums.channels - channel};
}

void pqc_requantize_nhwc_neon(pqc_sums sums, const pqc_output_f32 *o)
{
    int c = 0;
    for (; c + 4 <= sums.channels; c += 4) {
        output4 of = output4_of_channels(o, c);
        for (int p = 0; p < sums.pixels; p++)
            vst1q_f32(o->y + p * o->pixel_stride + c, finished(sums.acc + p * sums.ld + c, of));
    }
    pqc_output_f32 rest = pqc_output_f32_from(o, c);
    pqc_requantize_nhwc_scalar(rest_of(sums, 0, c), &rest);
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

void pqc_requantize_nchw_neon(pqc_sums sums, const pqc_output_f32 *o)
{
    int c = 0, whole = sums.pixels & ~3;
    for (; c + 4 <= sums.channels; c += 4) {
        output4 of = output4_of_channels(o, c);
        for (int p = 0; p < whole; p += 4) {
            float32x4_t r[4];
            for (int i = 0; i < 4; i++)
                r[i] = finished(sums.acc + (p + i) * sums.ld + c, of);
            store_transposed(r, o->y + c * o->channel_stride + p, o->channel_stride);
        }
    }
    pqc_sums right = rest_of(sums, 0, c), below = rest_of(sums, whole, 0);
    pqc_output_f32 channels = pqc_output_f32_from(o, c), pixels = *o;
    right.pixels = whole;
    pixels.y += whole;
    pqc_requantize_nchw_scalar(right, &channels);
    pqc_requantize_nchw_scalar(below, &pixels);
}

#endif
