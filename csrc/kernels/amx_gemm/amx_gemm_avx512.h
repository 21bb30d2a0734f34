/* What carries operands and sums to and from a matrix unit that comes with AVX-512. */
#ifndef PQC_UNIT_AVX512_H
#define PQC_UNIT_AVX512_H

#include "amx_gemm.h"

void pqc_panel_avx512(const pqc_panel *p, const uint8_t *x, uint8_t *panel);
void pqc_put_avx512(const pqc_unit_to *to, const int32_t *sums, int channels, float *y);

#endif
