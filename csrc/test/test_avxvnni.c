/* The body for AVX-VNNI, compiled with AVX-512's encoding of the same instruction: what has the one
 * often lacks the other, and no emulator at hand knows it. */
#include "check.h"
#include "dispatch.h"
#include "tests.h"

#if PQC_X86
#include <immintrin.h>

#undef PQC_TARGET_AVXVNNI
#define PQC_TARGET_AVXVNNI PQC_TARGET_VNNI
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#define pqc_gemm_s8_avxvnni gemm_s8_in_other_encoding
pqc_gemm_s8_fn gemm_s8_in_other_encoding;

#include "../kernels/gemm_s8/gemm_s8_avxvnni.c"

void test_avxvnni(void)
{
    if (!(pqc_detect() & PQC_BIT(PQC_VNNI)))
        return;
    unsigned before = pqc_selected();
    pqc.gemm_s8 = gemm_s8_in_other_encoding;
    test_gemm_s8();
    pqc_select(before);
}
#else
void test_avxvnni(void)
{
}
#endif
