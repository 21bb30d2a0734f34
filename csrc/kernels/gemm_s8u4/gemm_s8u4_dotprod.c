/* Products of s8 rows with 4-bit weights that have a scale per group, to float32, with NEON's dot products; see
 * gemm_s8u4.h. */
#include "gemm_s8u4.h"

#if PQC_ARM
#include "gemm_s8u4_neon.h"

PQC_TARGET_DOTPROD PQC_INLINE int32x4_t dot(int32x4_t sums, int8x16_t w, int8x16_t x)
{
    return vdotq_s32(sums, w, x);
}

PQC_TARGET_DOTPROD void pqc_gemm_s8u4_dotprod(const pqc_gemm_s8u4_params *p)
{
    u4_all(p, dot);
}

#endif
