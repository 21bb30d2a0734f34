/* Products of s8 rows with 4-bit weights that have a scale per group, to float32, with NEON; see gemm_s8u4.h. */
#include "gemm_s8u4.h"

#if PQC_ARM
#include "gemm_s8u4_neon.h"

PQC_INLINE int32x4_t dot(int32x4_t sums, int8x16_t w, int8x16_t x)
{
    int32x4_t first = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)));
    int32x4_t second = vpaddlq_s16(vmull_s8(vget_high_s8(w), vget_high_s8(x)));
    return vaddq_s32(sums, vpaddq_s32(first, second));
}

void pqc_gemm_s8u4_neon(const pqc_gemm_s8u4_params *p)
{
    u4_all(p, dot);
}

#endif
