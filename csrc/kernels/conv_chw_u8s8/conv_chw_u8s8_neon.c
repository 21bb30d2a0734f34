/* u8 x s8 convolution rows whose lanes are pixels, to float32 CHW, with NEON; see conv_chw_u8s8.h. */
#include "conv_chw_u8s8.h"

#if PQC_ARM
#include <arm_neon.h>

#define TARGET
#define INLINE TARGET PQC_INLINE

typedef int8x16_t vector;
typedef int32x4_t accumulator;

/* SMULL of bytes.  A product is at most 128 * 128, and two products add up in 16 bits except for 2 * 128 * 128, so
 * pairs are added into 32 bits. */
INLINE accumulator add_products(accumulator acc, vector x, vector w)
{
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(w)));
    int32x4_t high = vpaddlq_s16(vmull_high_s8(x, w));
    return vaddq_s32(acc, vpaddq_s32(low, high));
}

#include "conv_chw_u8s8_arm.h"

TARGET void pqc_conv_chw_u8s8_neon(const pqc_conv_chw_params *g, ptrdiff_t pixels)
{
    all_channels(g, pixels);
}

#endif
