#include "chain_f32_scalar.h"

#if PQC_X86
#include "elementary/elementary_avx512.h"

/* What compilers make no vectors of: a permutation, and a function that may set errno. */
AVX512 PQC_INLINE __m512 function16(pqc_chain_kind kind, __m512 x)
{
    return kind == PQC_CHAIN_SQRT  ? _mm512_sqrt_ps(x)
           : kind == PQC_CHAIN_ERF ? erf16(x)
                                   : gelu16(x);
}

AVX512 static void run_function(pqc_chain_kind kind, const float *a, float *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 tail = tail16(n - i);
        __m512 x = _mm512_maskz_loadu_ps(tail, a + i);
        _mm512_mask_storeu_ps(y + i, tail, function16(kind, x));
    }
}

PQC_TARGET_AVX512 void pqc_chain_f32_avx512(pqc_chain_kind kind, const float *restrict a,
                                            const float *restrict b, float number,
                                            float *restrict y, ptrdiff_t n)
{
    if (kind >= PQC_CHAIN_ERF || kind == PQC_CHAIN_SQRT)
        run_function(kind, a, y, n);
    else
        chain_loops(kind, a, b, number, y, n);
}

#endif
