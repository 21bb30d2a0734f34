/* u8 x s8 convolution rows whose lanes are pixels, to float32 CHW, with NEON's dot products; see conv_chw_u8s8.h. */
#include "conv_chw_u8s8.h"

#if PQC_ARM
#include <arm_neon.h>

#define TARGET PQC_TARGET_DOTPROD
#define INLINE TARGET PQC_INLINE

typedef int8x16_t vector;
typedef int32x4_t accumulator;

INLINE accumulator add_products(accumulator acc, vector x, vector w)
{
    return vdotq_s32(acc, x, w);
}

#include "conv_chw_u8s8_arm.h"

TARGET void pqc_conv_chw_u8s8_dotprod(const pqc_conv_chw_params *g, ptrdiff_t pixels)
{
    all_channels(g, pixels);
}

#endif
