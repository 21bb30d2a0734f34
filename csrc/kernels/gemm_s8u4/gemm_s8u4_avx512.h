/* Code shared by the AVX-512 bodies of gemm_s8u4; only their files include it. */
#ifndef PQC_GEMM_S8U4_AVX512_H
#define PQC_GEMM_S8U4_AVX512_H

#include "avx512.h"
#include "gemm_s8u4.h"

/* (float)(by * inverse) of 16 channels. */
AVX512 PQC_INLINE __m512 u4_scales16(double by, const double *inverse, __mmask16 lanes)
{
    __m512d low = _mm512_maskz_loadu_pd((__mmask8)lanes, inverse);
    __m512d high = _mm512_maskz_loadu_pd((__mmask8)(lanes >> 8), inverse + 8);
    __m256 first = _mm512_cvtpd_ps(_mm512_mul_pd(_mm512_set1_pd(by), low));
    __m256 second = _mm512_cvtpd_ps(_mm512_mul_pd(_mm512_set1_pd(by), high));
    return _mm512_insertf32x8(_mm512_castps256_ps512(first), second, 1);
}

/* Writes 16 channels of a row, given the last group's sums and the accumulated ones. */
AVX512 PQC_INLINE void u4_store16(const pqc_gemm_s8u4_params *p, ptrdiff_t channel, int row,
                                  __m512i sums, __m512 acc)
{
    __mmask16 lanes = tail16(p->channels - channel);
    __m512 bias = p->bias ? _mm512_maskz_loadu_ps(lanes, p->bias + channel) : _mm512_setzero_ps();
    __m512 by = _mm512_set1_ps((float)p->row_scale[row]);
    if (p->inverse) {
        acc = _mm512_cvtepi32_ps(sums);
        by = u4_scales16(p->row_scale[row], p->inverse + channel, lanes);
    }
    _mm512_mask_storeu_ps(p->y + row * p->y_row + channel, lanes, _mm512_fmadd_ps(acc, by, bias));
}

#endif
