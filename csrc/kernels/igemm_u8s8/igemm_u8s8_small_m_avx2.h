/* The product of so few pixels that the weights pass by only once or twice: a matrix of one or a few rows. */
#ifndef PQC_FEW_PIXELS_AVX2_H
#define PQC_FEW_PIXELS_AVX2_H

#include "igemm_u8s8.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

enum { FEW_PIXELS = 4 };

/* As pqc_gemm_s8_fn, where no weight is -128. */
AVX2 void pqc_gemm_few_pixels_avx2(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                                   int32_t *acc);

#endif
#endif
