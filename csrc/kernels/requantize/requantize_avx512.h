/* The float32 output stage (requantize.h) of 16 sums, with AVX-512. */
#ifndef PQC_REQUANTIZE_AVX512_H
#define PQC_REQUANTIZE_AVX512_H

#include "avx512.h"
#include "requantize.h"

typedef struct {
    __m512 scale, bias;
} output16;

AVX512 PQC_INLINE output16 output16_load(const float *scale, const float *bias, __mmask16 lanes)
{
    return (output16){_mm512_maskz_loadu_ps(lanes, scale), _mm512_maskz_loadu_ps(lanes, bias)};
}

/* For the first `lanes` of 16 neighbouring channels. */
AVX512 PQC_INLINE output16 output16_of_channels(const pqc_output_f32 *o, ptrdiff_t channel,
                                                __mmask16 lanes)
{
    return output16_load(o->scale + channel, o->bias + channel, lanes);
}

/* For 16 pixels of one channel. */
AVX512 PQC_INLINE output16 output16_of_channel(const pqc_output_f32 *o, ptrdiff_t channel)
{
    return (output16){_mm512_set1_ps(o->scale[channel]), _mm512_set1_ps(o->bias[channel])};
}

AVX512 PQC_INLINE __m512 finish16(__m512i sums, output16 o)
{
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), o.scale, o.bias);
}

#endif
