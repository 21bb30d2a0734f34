/* Rows of stored int32 sums through the float32 output stage, with AVX-512. */
#ifndef PQC_AMX_GEMM_ROWS_AVX512_H
#define PQC_AMX_GEMM_ROWS_AVX512_H

#include "requantize/requantize_avx512.h"

/* Stores the first `rows` rows of the block; rows of sums are `ld` apart. */
AVX512 PQC_INLINE void store_rows(const int32_t *sums, ptrdiff_t ld, int rows,
                                  const pqc_output_block *block)
{
    for (int c = 0; c < block->channels; c += 16) {
        __mmask16 lanes = tail16(block->channels - c);
        output16 of = output16_of_channels(&block->to, c, lanes);
        for (int row = 0; row < rows; row++)
            _mm512_mask_storeu_ps(block->to.y + row * block->to.pixel_stride + c, lanes,
                                  finish16(_mm512_load_si512(sums + row * ld + c), of));
    }
}

#endif
