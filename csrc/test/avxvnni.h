/* The bodies for AVX-VNNI, compiled with AVX-512's encoding of the same instruction: what has the
 * one often lacks the other, and no emulator at hand knows it. */
#ifndef PQC_TEST_AVXVNNI_H
#define PQC_TEST_AVXVNNI_H

#include "dispatch.h"

#if PQC_X86
#include <immintrin.h>

#undef PQC_TARGET_AVXVNNI
#define PQC_TARGET_AVXVNNI PQC_TARGET_VNNI
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#define _mm256_dpwssd_avx_epi32 _mm256_dpwssd_epi32
#define pqc_igemm_u8s8_avxvnni igemm_u8s8_in_other_encoding
#define pqc_conv_chw_u8s8_avxvnni conv_chw_u8s8_in_other_encoding
#define pqc_dwconv_nhwc_avxvnni dwconv_nhwc_in_other_encoding
#define pqc_winograd_nhwc_avxvnni winograd_nhwc_in_other_encoding
#endif

pqc_igemm_u8s8_fn igemm_u8s8_in_other_encoding;
pqc_conv_chw_u8s8_fn conv_chw_u8s8_in_other_encoding;
pqc_dwconv_nhwc_fn dwconv_nhwc_in_other_encoding;
extern const pqc_winograd_nhwc winograd_nhwc_in_other_encoding;

#endif
