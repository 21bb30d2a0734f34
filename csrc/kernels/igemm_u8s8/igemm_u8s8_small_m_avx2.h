/* The product for so few pixels (a matrix of one or a few rows) that the weights are read only once or twice; AVX2. */
#ifndef PQC_IGEMM_U8S8_SMALL_M_AVX2_H
#define PQC_IGEMM_U8S8_SMALL_M_AVX2_H

#include "igemm_u8s8.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

enum { MAX_SMALL_M = 4 };

/* As pqc_igemm_u8s8_fn, for weights without -128. */
AVX2 void pqc_igemm_u8s8_small_m_avx2(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                                      int32_t *acc);

#endif
#endif
