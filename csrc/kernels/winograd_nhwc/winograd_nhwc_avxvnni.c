/* Winograd's F(4 x 4, 3 x 3), channels last, with AVX-VNNI; see winograd_nhwc.h. */
#include "pqc.h"

#if PQC_X86
#include <immintrin.h>

#define BODY PQC_TARGET_AVXVNNI
#define INLINE BODY PQC_INLINE

INLINE __m256i add_products(__m256i sum, __m256i x, __m256i w)
{
    return _mm256_dpwssd_avx_epi32(sum, x, w);
}

#include "winograd_nhwc_avx2.h"

const pqc_winograd_nhwc pqc_winograd_nhwc_avxvnni = {inputs,       products,    sums,
                                                     .product = 2, .direct = 2, .transforms = 2};

#endif
