/* int32 sums to float32, nchw or nhwc, with AVX-512; see requantize.h. */
#include "requantize.h"

#if PQC_X86
#include "requantize_avx512.h"

#define INLINE AVX512 PQC_INLINE

INLINE __m512 finished(const int32_t *acc, output16 o)
{
    return finish16(_mm512_loadu_si512(acc), o);
}

AVX512 void pqc_requantize_nhwc_avx512(pqc_sums sums, const pqc_output_f32 *o)
{
    for (int c = 0; c < sums.channels; c += 16) {
        __mmask16 lanes = tail16(sums.channels - c);
        output16 of = output16_of_channels(o, c, lanes);
        for (int p = 0; p < sums.pixels; p++)
            _mm512_mask_storeu_ps(o->y + p * o->pixel_stride + c, lanes,
                                  finished(sums.acc + p * sums.ld + c, of));
    }
}

/* Transposes 16 x 16: pairs of rows, pairs of pairs, then register halves. */
INLINE void transpose(__m512 r[16])
{
    __m512 t[16];
    PQC_UNROLL(8)
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    PQC_UNROLL(4)
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

AVX512 void pqc_requantize_nchw_avx512(pqc_sums sums, const pqc_output_f32 *o)
{
    for (int c = 0; c < sums.channels; c += 16) {
        int channels = sums.channels - c < 16 ? sums.channels - c : 16;
        __mmask16 lanes = tail16(channels);
        output16 of = output16_of_channels(o, c, lanes);
        for (int p = 0; p < sums.pixels; p += 16) {
            __m512 r[16];
            PQC_UNROLL(16)
            for (int i = 0; i < 16; i++) {
                /* the last one again: it is not stored */
                int row = p + i < sums.pixels ? p + i : sums.pixels - 1;
                r[i] = finished(sums.acc + row * sums.ld + c, of);
            }
            transpose(r);
            float *at = o->y + c * o->channel_stride + p;
            __mmask16 kept = tail16(sums.pixels - p);
            PQC_UNROLL(16)
            for (int i = 0; i < 16; i++)
                if (i < channels)
                    _mm512_mask_storeu_ps(at + i * o->channel_stride, kept, r[i]);
        }
    }
}

#endif
