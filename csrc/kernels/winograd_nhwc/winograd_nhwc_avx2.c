/* Winograd's F(4 x 4, 3 x 3), channels last, with AVX2; see winograd_nhwc.h. */
#include "pqc.h"

#if PQC_X86
#include <immintrin.h>

#define BODY PQC_TARGET_AVX2
#define INLINE BODY PQC_INLINE

INLINE __m256i add_products(__m256i sum, __m256i x, __m256i w)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
}

#include "winograd_nhwc_avx2.h"

const pqc_winograd_nhwc pqc_winograd_nhwc_avx2 = {inputs,       products,    sums,
                                                  .product = 4, .direct = 8, .transforms = 2};

#endif
