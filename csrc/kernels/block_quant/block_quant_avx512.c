/* Blocks of float32 that share a step, and element codes of up to 8 bits, with AVX-512; see block_quant.h. */
#include "block_quant.h"

#if PQC_X86
#include "float_quant/float_quant_avx512.h"

AVX512 void pqc_block_quant_f32_avx512(const float *x, float *y, ptrdiff_t n, float step,
                                       float back, const pqc_float_format *f)
{
    if (step == 0.0f) {
        pqc_block_quant_f32_scalar(x, y, n, step, back, f);
        return;
    }
    __m512 divisor = _mm512_set1_ps(step), factor = _mm512_set1_ps(back);
    format16 format = format16_of(f);
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512 v = _mm512_div_ps(_mm512_maskz_loadu_ps(lanes, x + i), divisor);
        _mm512_mask_storeu_ps(y + i, lanes, _mm512_mul_ps(nearest16(v, format), factor));
    }
}

AVX512 void pqc_encode_elements_avx512(const float *q, uint8_t *codes, ptrdiff_t n,
                                       const pqc_float_format *f)
{
    pqc_encoding e = pqc_encoding_of(f);
    __m512 normal = _mm512_set1_ps(e.normal);
    __m512i rebias = _mm512_set1_epi32(e.rebias), sub = _mm512_set1_epi32(e.rebias_subnormal);
    __m128i shift = _mm_cvtsi32_si128(e.shift), sign_shift = _mm_cvtsi32_si128(e.sign_shift);
    __m512i nan = _mm512_set1_epi32(f->nan_code), top = _mm512_set1_epi32(INT32_MIN);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 v = _mm512_loadu_ps(q + i), size = _mm512_abs_ps(v);
        __mmask16 is_normal = _mm512_cmp_ps_mask(size, normal, _CMP_GE_OQ);
        __m512i taken = _mm512_castps_si512(_mm512_add_ps(size, normal));
        taken = _mm512_mask_mov_epi32(taken, is_normal, _mm512_castps_si512(size));
        __m512i less = _mm512_mask_mov_epi32(sub, is_normal, rebias);
        __m512i code = _mm512_sub_epi32(_mm512_srl_epi32(taken, shift), less);
        __m512i sign = _mm512_and_si512(_mm512_castps_si512(v), top);
        code = _mm512_or_si512(code, _mm512_srl_epi32(sign, sign_shift));
        code = _mm512_mask_mov_epi32(code, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), nan);
        _mm_storeu_si128((__m128i *)(void *)(codes + i), _mm512_cvtepi32_epi8(code));
    }
    pqc_encode_elements_scalar(q + i, codes + i, n - i, f);
}

AVX512 void pqc_decode_elements_avx512(const uint8_t *codes, float *y, ptrdiff_t n,
                                       const float *table, float step)
{
    __m512 factor = _mm512_set1_ps(step);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(codes + i));
        __m512 values = _mm512_i32gather_ps(_mm512_cvtepu8_epi32(bytes), table, 4);
        _mm512_storeu_ps(y + i, _mm512_mul_ps(values, factor));
    }
    pqc_decode_elements_scalar(codes + i, y + i, n - i, table, step);
}

#endif
