/* Elementwise operations of chains on float32, with AVX2; see chain_f32.h. */
#include "chain_f32_scalar.h"

#if PQC_X86
#include "elementary/elementary_avx2.h"

/* Functions that compilers do not vectorise: they need a permutation, or may set errno. */
AVX2 PQC_INLINE __m256 function8(pqc_chain_kind kind, __m256 x)
{
    return kind == PQC_CHAIN_SQRT ? _mm256_sqrt_ps(x) : kind == PQC_CHAIN_ERF ? erf8(x) : gelu8(x);
}

AVX2 static void run_function(pqc_chain_kind kind, const float *a, float *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += 8) {
        __m256 x = n - i >= 8 ? _mm256_loadu_ps(a + i) : first_of(a + i, n - i);
        store_first(y + i, function8(kind, x), n - i);
    }
}

PQC_TARGET_AVX2 void pqc_chain_f32_avx2(pqc_chain_kind kind, const float *restrict a,
                                        const float *restrict b, float number, float *restrict y,
                                        ptrdiff_t n)
{
    if (kind >= PQC_CHAIN_ERF || kind == PQC_CHAIN_SQRT)
        run_function(kind, a, y, n);
    else
        chain_loops(kind, a, b, number, y, n);
}

#endif
