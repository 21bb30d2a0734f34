#include "amx_gemm_avx512.h"

#if PQC_AMX_COMPILES
#include "avx512.h"

#define INLINE AVX512 PQC_INLINE

INLINE void put(const pqc_unit_to *to, const int32_t *sums, int channels, float *y,
                const bool apart, const bool stream)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i index = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)to->step));
    uintptr_t ahead = (uintptr_t)(2 * to->pitch) *
                      sizeof *y; /* the lines of another channel are on their way meanwhile */
    for (int c = 0; c < channels; c++, sums += PQC_SUMS_PITCH, y += to->pitch) {
        __m512i start = _mm512_set1_epi32(to->start[c]);
        __m512 scale = _mm512_set1_ps(to->scale[c]), bias = _mm512_set1_ps(to->bias[c]);
        for (const pqc_put *p = to->put, *end = p + to->puts; p < end; p++) {
            __m512i sum = _mm512_add_epi32(_mm512_loadu_si512(sums + p->from), start);
            __m512 result = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, bias);
            __mmask16 mask = (__mmask16)((1u << p->count) - 1);
            float *at = y + p->to;
            if (!stream)
                _mm_prefetch((const char *)((uintptr_t)at + ahead), _MM_HINT_T0);
            if (apart)
                _mm512_mask_i32scatter_ps(at, mask, index, result, 4);
            else if (stream && mask == 0xffff && ((uintptr_t)at & 63) == 0)
                _mm512_stream_ps(at, result);
            else
                _mm512_mask_storeu_ps(at, mask, result);
        }
    }
    if (stream)
        _mm_sfence();
}

AVX512 void pqc_put_avx512(const pqc_unit_to *to, const int32_t *sums, int channels, float *y)
{
    if (to->step != 1)
        put(to, sums, channels, y, true, false);
    else if (to->stream)
        put(to, sums, channels, y, false, true);
    else
        put(to, sums, channels, y, false, false);
}

#endif
