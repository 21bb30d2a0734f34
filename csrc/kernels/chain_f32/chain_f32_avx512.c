/* Elementwise operations of chains on float32, with AVX-512; see chain_f32.h. */
#include "chain_f32_scalar.h"

#if PQC_X86
#include "elementary/elementary_avx512.h"

/* Functions that compilers vectorise badly or not at all: permutations, powers of two, what may set errno. */
AVX512 PQC_INLINE __m512 function16(pqc_chain_kind kind, __m512 x)
{
    return kind == PQC_CHAIN_SQRT      ? _mm512_sqrt_ps(x)
           : kind == PQC_CHAIN_SIGMOID ? sigmoid16(x)
           : kind == PQC_CHAIN_SILU    ? _mm512_mul_ps(x, sigmoid16(x))
           : kind == PQC_CHAIN_ERF     ? erf16(x)
                                       : gelu16(x);
}

AVX512 PQC_INLINE void run_function(pqc_chain_kind kind, const float *a, float *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, function16(kind, _mm512_loadu_ps(a + i)));
    if (i < n) {
        __mmask16 tail = tail16(n - i);
        __m512 x = _mm512_maskz_loadu_ps(tail, a + i);
        _mm512_mask_storeu_ps(y + i, tail, function16(kind, x));
    }
}

PQC_TARGET_AVX512 void pqc_chain_f32_avx512(pqc_chain_kind kind, const float *restrict a,
                                            const float *restrict b, float number,
                                            float *restrict y, ptrdiff_t n)
{
    if (kind == PQC_CHAIN_SQRT)
        run_function(PQC_CHAIN_SQRT, a, y, n);
    else if (kind == PQC_CHAIN_SIGMOID)
        run_function(PQC_CHAIN_SIGMOID, a, y, n);
    else if (kind == PQC_CHAIN_SILU)
        run_function(PQC_CHAIN_SILU, a, y, n);
    else if (kind == PQC_CHAIN_ERF)
        run_function(PQC_CHAIN_ERF, a, y, n);
    else if (kind == PQC_CHAIN_GELU)
        run_function(PQC_CHAIN_GELU, a, y, n);
    else
        chain_loops(kind, a, b, number, y, n);
}

#endif
