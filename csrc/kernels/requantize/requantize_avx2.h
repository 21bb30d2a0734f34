/* The float32 output stage (requantize.h) of 8 sums, with AVX2. */
#ifndef PQC_REQUANTIZE_AVX2_H
#define PQC_REQUANTIZE_AVX2_H

#include "avx2.h"
#include "requantize.h"

typedef struct {
    __m256 scale, bias;
} output8;

AVX2 PQC_INLINE output8 output8_load(const float *scale, const float *bias)
{
    return (output8){_mm256_loadu_ps(scale), _mm256_loadu_ps(bias)};
}

/* For 8 neighbouring channels. */
AVX2 PQC_INLINE output8 output8_of_channels(const pqc_output_f32 *o, ptrdiff_t channel)
{
    return output8_load(o->scale + channel, o->bias + channel);
}

/* For 8 pixels of one channel. */
AVX2 PQC_INLINE output8 output8_of_channel(const pqc_output_f32 *o, ptrdiff_t channel)
{
    return (output8){_mm256_set1_ps(o->scale[channel]), _mm256_set1_ps(o->bias[channel])};
}

AVX2 PQC_INLINE __m256 finish8(__m256i sums, output8 o)
{
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), o.scale, o.bias);
}

#endif
