/* One row of u8 times a matrix of s8 panels, requantised to float32, with AVX-512 VNNI; see igemm_u8s8.h. */
#include "igemm_u8s8.h"

#if PQC_X86
#include "requantize/requantize_avx512.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

INLINE __m512 scales_of(double scale, const double *inverse, __mmask16 lanes)
{
    __m512d by = _mm512_set1_pd(scale);
    __m512d low = _mm512_maskz_loadu_pd((__mmask8)lanes, inverse);
    __m512d high = _mm512_maskz_loadu_pd((__mmask8)(lanes >> 8), inverse + 8);
    __m256 first = _mm512_cvtpd_ps(_mm512_mul_pd(by, low));
    __m256 second = _mm512_cvtpd_ps(_mm512_mul_pd(by, high));
    return _mm512_insertf32x8(_mm512_castps256_ps512(first), second, 1);
}

/* V vectors of 16 channels from `first`.  NARROW: the kr groups of 16 channels are contiguous.  Two accumulators
 * each, because the latency of a product exceeds the time its weights take to load. */
INLINE void block(pqc_gemv_params r, ptrdiff_t first, const int V, const bool NARROW)
{
    const ptrdiff_t k_stride = NARROW ? 64 : 64 * V, panel_stride = NARROW ? 64 * r.k : 64;
    const int8_t *w = r.w + 4 * r.k * first;
    __m512i sums[2 * PQC_NR_VECTORS];
    PQC_UNROLL(8)
    for (int i = 0; i < 2 * V; i++)
        sums[i] = i < V ? _mm512_loadu_si512(r.compensation + first + PQC_LANES * i)
                        : _mm512_setzero_si512();
    for (ptrdiff_t j = 0; j < r.k; j += 2, w += 2 * k_stride) {
        PQC_UNROLL(8)
        for (int i = 0; i < 2 * V; i++) {
            if (i >= V && j + 1 == r.k)
                break;
            int32_t c4;
            memcpy(&c4, r.x + 4 * (j + i / V), sizeof c4);
            __m512i weights = _mm512_loadu_si512(w + i / V * k_stride + i % V * panel_stride);
            sums[i] = _mm512_dpbusd_epi32(sums[i], _mm512_set1_epi32(c4), weights);
        }
    }
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++) {
        ptrdiff_t at = first + PQC_LANES * v;
        __mmask16 lanes = tail16(r.channels - at);
        output16 of = {.scale = scales_of(r.scale, r.inverse + at, lanes),
                       .bias = r.to.bias ? _mm512_maskz_loadu_ps(lanes, r.to.bias + at)
                                         : _mm512_setzero_ps()};
        _mm512_mask_storeu_ps(r.to.y + at, lanes,
                              finish16(_mm512_add_epi32(sums[v], sums[V + v]), of));
    }
}

INLINE void last_block(pqc_gemv_params r, ptrdiff_t first, const bool NARROW)
{
    switch (pqc_div_round_up(r.channels - first, PQC_LANES)) {
    case 1:
        block(r, first, 1, NARROW);
        break;
    case 2:
        block(r, first, 2, NARROW);
        break;
    case 3:
        block(r, first, 3, NARROW);
        break;
    default:
        block(r, first, 4, NARROW);
        break;
    }
}

INLINE void row(pqc_gemv_params r, const bool NARROW)
{
    const ptrdiff_t whole = r.channels / PQC_NR * PQC_NR;
    if (r.backwards && whole < r.channels)
        last_block(r, whole, NARROW);
    for (ptrdiff_t i = 0; i < whole; i += PQC_NR)
        block(r, r.backwards ? whole - PQC_NR - i : i, PQC_NR_VECTORS, NARROW);
    if (!r.backwards && whole < r.channels)
        last_block(r, whole, NARROW);
}

VNNI void pqc_igemm_u8s8_gemv_vnni(const pqc_gemv_params *r)
{
    if (r->narrow)
        row(*r, true);
    else
        row(*r, false);
}

#endif
