/* Rows of sums to where pqc_rows says, once they are in memory. */
#ifndef PQC_AMX_GEMM_ROWS_AVX512_H
#define PQC_AMX_GEMM_ROWS_AVX512_H

#include "avx512.h"
#include "igemm_u8s8/igemm_u8s8.h"

/* The first of `to`'s rows, as many as are said; `ld` sums from a row to the next. */
AVX512 PQC_INLINE void store_rows(const int32_t *sums, ptrdiff_t ld, int rows, const pqc_rows *to)
{
    for (int c = 0; c < to->channels; c += PQC_LANES) {
        __mmask16 lanes = tail16(to->channels - c);
        __m512 scale = _mm512_maskz_loadu_ps(lanes, to->scale + c);
        __m512 bias = _mm512_maskz_loadu_ps(lanes, to->bias + c);
        for (int row = 0; row < rows; row++) {
            __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums + row * ld + c));
            _mm512_mask_storeu_ps(to->y + row * to->stride + c, lanes,
                                  _mm512_fmadd_ps(sum, scale, bias));
        }
    }
}

#endif
