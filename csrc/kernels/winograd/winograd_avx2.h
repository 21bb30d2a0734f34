/* The transforms and products that make up pqc_winograd_avx2. */
#ifndef PQC_WINOGRAD_AVX2_H
#define PQC_WINOGRAD_AVX2_H

#include "winograd.h"

void pqc_winograd2_inputs_avx2(const pqc_winograd_image *image, ptrdiff_t first, ptrdiff_t tiles,
                               ptrdiff_t v_stride, int16_t *v);
void pqc_winograd2_weights_avx2(const int8_t *w, ptrdiff_t k_stride, ptrdiff_t w_row,
                                ptrdiff_t c4_blocks, int16_t *u);
void pqc_winograd2_sums_avx2(const int32_t *m, ptrdiff_t m_stride, ptrdiff_t tiles,
                             const int32_t *compensation, int32_t *to, ptrdiff_t to_row);

void pqc_winograd4_inputs_avx2(const pqc_winograd_image *image, ptrdiff_t first, ptrdiff_t tiles,
                               ptrdiff_t v_stride, int16_t *v);
void pqc_winograd4_weights_avx2(const int8_t *w, ptrdiff_t k_stride, ptrdiff_t w_row,
                                ptrdiff_t c4_blocks, int16_t *u);
void pqc_winograd4_sums_avx2(const int32_t *m, ptrdiff_t m_stride, ptrdiff_t tiles,
                             const int32_t *compensation, int32_t *to, ptrdiff_t to_row);

#endif
