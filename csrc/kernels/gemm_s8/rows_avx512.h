/* A row of sums to where pqc_rows says, once they are in memory. */
#ifndef PQC_ROWS_AVX512_H
#define PQC_ROWS_AVX512_H

#include "avx512.h"
#include "gemm_s8.h"

AVX512 PQC_INLINE void write_row(const int32_t *sums, const pqc_rows *to, float *y)
{
    for (int c = 0; c < to->channels; c += PQC_LANES) {
        __mmask16 lanes = tail16(to->channels - c);
        __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums + c));
        __m512 scale = _mm512_maskz_loadu_ps(lanes, to->scale + c);
        __m512 bias = _mm512_maskz_loadu_ps(lanes, to->bias + c);
        _mm512_mask_storeu_ps(y + c, lanes, _mm512_fmadd_ps(sum, scale, bias));
    }
}

#endif
