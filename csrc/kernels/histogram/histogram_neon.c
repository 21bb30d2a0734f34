/* Bin numbers of float32 magnitudes, and their range, with NEON; see histogram.h. */
#include "histogram.h"
#include "pqc.h"

#if PQC_ARM
#include <arm_neon.h>

/* As in histogram_avx2.c, four lanes at a time. */
PQC_NOINLINE uint32x4_t decide4(uint32x4_t k, float32x4_t v, uint32x4_t good, const pqc_binning *b)
{
    uint32_t bins[4], sure[4];
    float values[4];
    vst1q_u32(bins, k);
    vst1q_u32(sure, good);
    vst1q_f32(values, v);
    for (int lane = 0; lane < 4; lane++)
        if (!sure[lane])
            bins[lane] = pqc_bin_of(values[lane], b);
    return vld1q_u32(bins);
}

ptrdiff_t pqc_bin_f32_neon(const float *x, ptrdiff_t n, const pqc_binning *b, uint32_t *bin,
                           pqc_binned *seen)
{
    static const uint32_t lane_numbers[4] = {0, 1, 2, 3};
    uint32x4_t none = vaddq_u32(vdupq_n_u32((uint32_t)b->bins), vld1q_u32(lane_numbers));
    float32x4_t lo = vdupq_n_f32(b->lo), inv = vdupq_n_f32(b->inv), half = vdupq_n_f32(0.5f);
    float32x4_t sure = vdupq_n_f32(0.5f - b->margin);
    uint32x4_t bins = vdupq_n_u32((uint32_t)b->bins), largest = vdupq_n_u32(0), zeros = largest;
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = vabsq_f32(vld1q_f32(x + i));
        uint32x4_t bits = vreinterpretq_u32_f32(v), empty = vceqzq_u32(bits);
        largest = vmaxq_u32(largest, bits);
        zeros = vsubq_u32(zeros, empty);
        float32x4_t t = vmulq_f32(vsubq_f32(v, lo), inv);
        uint32x4_t k = vcvtq_u32_f32(t); /* below 0 and NaN: 0, which is far from t or not equal */
        float32x4_t off = vabsq_f32(vsubq_f32(vsubq_f32(t, vcvtq_f32_u32(k)), half));
        uint32x4_t good = vandq_u32(vcltq_u32(k, bins), vcltq_f32(off, sure));
        good = vorrq_u32(good, empty);
        if (vminvq_u32(good) == 0)
            k = decide4(k, v, good, b);
        vst1q_u32(bin + i, vbslq_u32(empty, none, k));
    }
    uint32_t most = vmaxvq_u32(largest);
    seen->largest = most > seen->largest ? most : seen->largest;
    seen->zeros += vaddvq_u32(zeros);
    return i + pqc_bin_f32_scalar(x + i, n - i, b, bin + i, seen);
}

#endif
