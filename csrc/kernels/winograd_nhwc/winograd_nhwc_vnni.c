/* Winograd's F(4 x 4, 3 x 3), channels last, with AVX-512 VNNI; see winograd_nhwc.h. */
#include "pqc.h"

#if PQC_X86
#include <immintrin.h>

#define BODY PQC_TARGET_VNNI
#define INLINE BODY PQC_INLINE

INLINE __m512i add_products(__m512i sum, __m512i x, __m512i w)
{
    return _mm512_dpwssd_epi32(sum, x, w);
}

#include "winograd_nhwc_avx512.h"

const pqc_winograd_nhwc pqc_winograd_nhwc_vnni = {inputs,       products,    sums,
                                                  .product = 1, .direct = 1, .transforms = 1};

#endif
