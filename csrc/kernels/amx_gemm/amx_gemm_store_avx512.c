#include "amx_gemm_avx512.h"

#if PQC_AMX_COMPILES
#include "avx512.h"

#define INLINE AVX512 PQC_INLINE

INLINE void store(const pqc_amx_store *to, const int32_t *sums, int channels, float *y,
                  const bool scattered, const bool stream)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i index = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)to->pixel_stride));
    uintptr_t ahead = (uintptr_t)(2 * to->channel_stride) *
                      sizeof *y; /* the lines of another channel are on their way meanwhile */
    for (int c = 0; c < channels; c++, sums += PQC_AMX_SUMS_STRIDE, y += to->channel_stride) {
        __m512i compensation = _mm512_set1_epi32(to->compensation[c]);
        __m512 scale = _mm512_set1_ps(to->scale[c]), bias = _mm512_set1_ps(to->bias[c]);
        for (const pqc_amx_run *p = to->run, *end = p + to->runs; p < end; p++) {
            __m512i sum = _mm512_add_epi32(_mm512_loadu_si512(sums + p->from), compensation);
            __m512 result = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, bias);
            __mmask16 mask = (__mmask16)((1u << p->count) - 1);
            float *at = y + p->to;
            if (!stream)
                _mm_prefetch((const char *)((uintptr_t)at + ahead), _MM_HINT_T0);
            if (scattered)
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

AVX512 void pqc_amx_gemm_store_avx512(const pqc_amx_store *to, const int32_t *sums, int channels,
                                      float *y)
{
    if (to->pixel_stride != 1)
        store(to, sums, channels, y, true, false);
    else if (to->stream)
        store(to, sums, channels, y, false, true);
    else
        store(to, sums, channels, y, false, false);
}

#endif
