/* Winograd's F(4 x 4, 3 x 3), channels last, with AVX-512 without VNNI; see winograd_nhwc.h. */
#include "pqc.h"

#if PQC_X86
#include <immintrin.h>

#define BODY PQC_TARGET_AVX512
#define INLINE BODY PQC_INLINE

INLINE __m512i add_products(__m512i sum, __m512i x, __m512i w)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
}

#include "winograd_nhwc_avx512.h"

const pqc_winograd_nhwc pqc_winograd_nhwc_avx512 = {inputs,       products,    sums,
                                                    .product = 2, .direct = 8, .transforms = 1};

#endif
