/* int32 sums to float32, nchw or nhwc, with AVX2; see requantize.h. */
#include "requantize.h"

#if PQC_X86
#include "requantize_avx2.h"

#define INLINE AVX2 PQC_INLINE

INLINE __m256 finished(const int32_t *acc, output8 o)
{
    return finish8(_mm256_loadu_si256((const __m256i *)(const void *)acc), o);
}

/* The rest of `sums`, from `channel`. */
static pqc_sums rest_of(pqc_sums sums, int channel)
{
    return (pqc_sums){sums.acc + channel, sums.ld, sums.pixels, sums.channels - channel};
}

AVX2 void pqc_requantize_nhwc_avx2(pqc_sums sums, const pqc_output_f32 *o)
{
    int c = 0;
    for (; c + 8 <= sums.channels; c += 8) {
        output8 of = output8_of_channels(o, c);
        for (int p = 0; p < sums.pixels; p++)
            _mm256_storeu_ps(o->y + p * o->pixel_stride + c,
                             finished(sums.acc + p * sums.ld + c, of));
    }
    pqc_output_f32 rest = pqc_output_f32_from(o, c);
    pqc_requantize_nhwc_scalar(rest_of(sums, c), &rest);
}

INLINE void transpose(__m256 r[8])
{
    __m256 t[8];
    PQC_UNROLL(4)
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    PQC_UNROLL(2)
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    PQC_UNROLL(8)
    for (int i = 0; i < 8; i++)
        r[i] = t[i];
}

/* A square of up to 8 pixels by 8 channels. */
INLINE void store_square(const int32_t *acc, ptrdiff_t ld, int pixels, output8 of, float *y,
                         ptrdiff_t stride)
{
    __m256 r[8];
    PQC_UNROLL(8)
    for (int i = 0; i < 8; i++)
        r[i] = i < pixels ? finished(acc + i * ld, of) : _mm256_setzero_ps();
    transpose(r);
    PQC_UNROLL(8)
    for (int i = 0; i < 8; i++)
        store_first(y + i * stride, r[i], pixels);
}

AVX2 void pqc_requantize_nchw_avx2(pqc_sums sums, const pqc_output_f32 *o)
{
    int c = 0;
    for (; c + 8 <= sums.channels; c += 8) {
        output8 of = output8_of_channels(o, c);
        const int32_t *acc = sums.acc + c;
        float *to = o->y + c * o->channel_stride;
        int p = 0;
        for (; p + 8 <= sums.pixels; p += 8)
            store_square(acc + p * sums.ld, sums.ld, 8, of, to + p, o->channel_stride);
        if (p < sums.pixels)
            store_square(acc + p * sums.ld, sums.ld, sums.pixels - p, of, to + p,
                         o->channel_stride);
    }
    pqc_output_f32 rest = pqc_output_f32_from(o, c);
    pqc_requantize_nchw_scalar(rest_of(sums, c), &rest);
}

#endif
