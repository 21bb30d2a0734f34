/* Fake quantisation of float16 and bfloat16, computed in float32, with AVX2; see fake_quant_half.h. */
#include "fake_quant_half.h"

#if PQC_X86
#include "half/half_avx2.h"
#include "int_quant/int_quant_avx2.h"

AVX2 void pqc_fake_quant_f16_avx2(const uint16_t *x, uint16_t *y, ptrdiff_t n, pqc_int_quant q)
{
    fake_quant8 k = fake_quant8_init(q);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 a = fake8(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))), k);
        _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
    }
    pqc_fake_quant_f16_scalar(x + i, y + i, n - i, q);
}

AVX2 void pqc_fake_quant_bf16_avx2(const uint16_t *x, uint16_t *y, ptrdiff_t n, pqc_int_quant q)
{
    fake_quant8 k = fake_quant8_init(q);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = fake8(from_bf16x8(_mm_loadu_si128((const __m128i *)(x + i))), k);
        __m256 b = fake8(from_bf16x8(_mm_loadu_si128((const __m128i *)(x + i + 8))), k);
        _mm256_storeu_si256((__m256i *)(y + i), join_bf16x16(to_bf16x8(a), to_bf16x8(b)));
    }
    pqc_fake_quant_bf16_scalar(x + i, y + i, n - i, q);
}

#endif
