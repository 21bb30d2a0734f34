/* Bin numbers of float32 magnitudes, and their range, with AVX-512; see histogram.h. */
#include "histogram.h"
#include "pqc.h"

#if PQC_X86
#include "avx512.h"

/* Zeros, half of the output of a ReLU, are counted by their mask and compressed out.  A t near an integer is rare;
 * its edge is then fetched. */
typedef struct {
    __m512 lo, hi, inv, sure, end;
    __m512i bins, last;
    const float *edges;
} constants;

AVX512 static inline constants constants_of(const pqc_binning *b)
{
    constants c = {.lo = _mm512_set1_ps(b->lo), .hi = _mm512_set1_ps(b->edges[b->bins])};
    c.inv = _mm512_set1_ps(b->inv);
    c.end = _mm512_set1_ps((float)b->bins);
    c.sure = _mm512_set1_ps(0.5f - b->margin);
    c.bins = _mm512_set1_epi32((int)b->bins);
    c.last = _mm512_set1_epi32((int)b->bins - 1);
    c.edges = b->edges;
    return c;
}

AVX512 PQC_NOINLINE __m512i decide16(__m512i k, __m512 v, __m512 t, __mmask16 unsure,
                                     const constants *c)
{
    __m512i edge = _mm512_min_epu32(_mm512_cvtps_epi32(t), c->bins); /* NaN takes the last edge */
    __m512 at = _mm512_mask_i32gather_ps(v, unsure, edge, c->edges, 4);
    __mmask16 below = _mm512_mask_cmp_ps_mask(unsure, v, at, _CMP_LT_OQ);
    __mmask16 outside = (__mmask16)(_mm512_cmp_ps_mask(v, c->lo, _CMP_NGE_UQ) |
                                    _mm512_cmp_ps_mask(v, c->hi, _CMP_NLE_UQ));
    k = _mm512_mask_mov_epi32(k, unsure, edge);
    k = _mm512_mask_sub_epi32(k, below, k, _mm512_set1_epi32(1));
    k = _mm512_mask_min_epi32(k, unsure, k, c->last);
    return _mm512_mask_mov_epi32(k, outside, c->bins);
}

AVX512 static inline __m512i bins16(__m512 v, __mmask16 lanes, const constants *c)
{
    __m512 t = _mm512_mul_ps(_mm512_sub_ps(v, c->lo), c->inv);
    t = _mm512_min_ps(t, c->end); /* values outside and NaN become integers, which are undecided */
    __m512i k = _mm512_cvttps_epi32(t);
    __m512 half = _mm512_set1_ps(0.5f);
    __m512 off = _mm512_abs_ps(_mm512_sub_ps(_mm512_sub_ps(t, _mm512_cvtepi32_ps(k)), half));
    __mmask16 unsure = _mm512_mask_cmp_ps_mask(lanes, off, c->sure, _CMP_NLT_UQ);
    return unsure ? decide16(k, v, t, unsure, c) : k;
}

AVX512 ptrdiff_t pqc_bin_f32_avx512(const float *x, ptrdiff_t n, const pqc_binning *b,
                                    uint32_t *bin, pqc_binned *seen)
{
    constants c = constants_of(b);
    __m512i largest = _mm512_setzero_si512();
    uint32_t *out = bin;
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tail16(n - i);
        __m512i v = _mm512_maskz_loadu_epi32(lanes, x + i);
        v = _mm512_and_si512(v, _mm512_set1_epi32(INT32_MAX));
        __mmask16 some = _mm512_test_epi32_mask(v, v);
        largest = _mm512_max_epu32(largest, v);
        __m512i k = bins16(_mm512_castsi512_ps(v), some, &c);
        if (some != 0xffff)
            k = _mm512_maskz_compress_epi32(some, k);
        _mm512_storeu_si512(out, k);
        out += _mm_popcnt_u32(some);
    }
    uint32_t most = _mm512_reduce_max_epu32(largest);
    seen->largest = most > seen->largest ? most : seen->largest;
    seen->zeros += (uint64_t)(n - (out - bin));
    return out - bin;
}

#endif
