/* Requantises AMX's int32 sums to float32 and stores them as nchw, with AVX-512; see amx_gemm.h. */
#include "amx_gemm_avx512.h"

#if PQC_AMX_COMPILES
#include "requantize/requantize_avx512.h"

#define INLINE AVX512 PQC_INLINE

INLINE void store(const pqc_amx_store *s, const int32_t *sums, int channels, const bool scattered,
                  const bool stream)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i index = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)s->to.pixel_stride));
    float *y = s->to.y;
    uintptr_t ahead =
        (uintptr_t)(2 * s->to.channel_stride) * sizeof *y; /* prefetches two channels ahead */
    for (int c = 0; c < channels; c++, sums += PQC_AMX_SUMS_STRIDE, y += s->to.channel_stride) {
        __m512i compensation = _mm512_set1_epi32(s->compensation[c]);
        output16 of = output16_of_channel(&s->to, c);
        for (const pqc_amx_run *p = s->run, *end = p + s->runs; p < end; p++) {
            __m512i sum = _mm512_add_epi32(_mm512_loadu_si512(sums + p->from), compensation);
            __m512 result = finish16(sum, of);
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

AVX512 void pqc_amx_gemm_store_avx512(const pqc_amx_store *s, const int32_t *sums, int channels)
{
    if (s->to.pixel_stride != 1)
        store(s, sums, channels, true, false);
    else if (s->to.stream)
        store(s, sums, channels, false, true);
    else
        store(s, sums, channels, false, false);
}

#endif
