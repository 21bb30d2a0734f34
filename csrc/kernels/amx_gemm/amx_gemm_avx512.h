/* AVX-512 helpers that move operands and sums to and from AMX. */
#ifndef PQC_AMX_GEMM_AVX512_H
#define PQC_AMX_GEMM_AVX512_H

#include "amx_gemm.h"

void pqc_amx_gemm_panel_avx512(const pqc_amx_panel *p, const uint8_t *x, uint8_t *panel);
void pqc_amx_gemm_store_avx512(const pqc_amx_store *s, const int32_t *sums, int channels);

#endif
