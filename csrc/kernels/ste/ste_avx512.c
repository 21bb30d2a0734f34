/* Straight-through gradient of a quantiser, clipped at amax, float32, with AVX-512; see ste.h. */
#include "ste.h"

#if PQC_X86
#include "avx512.h"

AVX512 void pqc_ste_f32_avx512(const float *x, const float *grad, float *y, ptrdiff_t n, float amax)
{
    __m512 limit = _mm512_set1_ps(amax);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 size = _mm512_abs_ps(_mm512_loadu_ps(x + i));
        __mmask16 pass = _mm512_cmp_ps_mask(size, limit, _CMP_LE_OQ);
        _mm512_storeu_ps(y + i, _mm512_maskz_loadu_ps(pass, grad + i));
    }
    if (i < n) {
        __mmask16 lanes = tail16(n - i);
        __m512 size = _mm512_abs_ps(_mm512_maskz_loadu_ps(lanes, x + i));
        __mmask16 pass = _mm512_mask_cmp_ps_mask(lanes, size, limit, _CMP_LE_OQ);
        _mm512_mask_storeu_ps(y + i, lanes, _mm512_maskz_loadu_ps(pass, grad + i));
    }
}

AVX512 void pqc_ste_each_f32_avx512(const float *x, const float *grad, float *y, ptrdiff_t n,
                                    const float *amax)
{
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 size = _mm512_abs_ps(_mm512_maskz_loadu_ps(lanes, x + i));
        __m512 limit = _mm512_maskz_loadu_ps(lanes, amax + i);
        __mmask16 pass = _mm512_mask_cmp_ps_mask(lanes, size, limit, _CMP_LE_OQ);
        _mm512_mask_storeu_ps(y + i, lanes, _mm512_maskz_loadu_ps(pass, grad + i));
    }
}

#endif
