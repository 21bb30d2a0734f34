/* Sums of S log(S / k) over the groups of a histogram, in double, for neighbouring candidates, with AVX-512; see
 * search_logs.h. */
#include "search_logs.h"
#include "pqc.h"

#if PQC_X86
#include "avx512.h"

/* Eight neighbouring candidates at a time.  Their borders of one group lie within eight bins, so one load and a
 * permutation fetch all of them. */
AVX512 static inline __m512d log8(__m512d x, const pqc_groups *g)
{
    __m512d e = _mm512_getexp_pd(x);
    __m512d m = _mm512_getmant_pd(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
    __m512i piece = _mm512_srli_epi64(_mm512_castpd_si512(m), 48); /* only its low bits are used */
    __m512d c =
        _mm512_permutex2var_pd(_mm512_loadu_pd(g->inverse), piece, _mm512_loadu_pd(g->inverse + 8));
    __m512d l = _mm512_permutex2var_pd(_mm512_loadu_pd(g->log_inverse), piece,
                                       _mm512_loadu_pd(g->log_inverse + 8));
    __m512d r = _mm512_fmsub_pd(m, c, _mm512_set1_pd(1.0));
    __m512d p = _mm512_set1_pd(1.0 / 9);
    p = _mm512_fmadd_pd(p, r, _mm512_set1_pd(-1.0 / 8));
    p = _mm512_fmadd_pd(p, r, _mm512_set1_pd(1.0 / 7));
    p = _mm512_fmadd_pd(p, r, _mm512_set1_pd(-1.0 / 6));
    p = _mm512_fmadd_pd(p, r, _mm512_set1_pd(1.0 / 5));
    p = _mm512_fmadd_pd(p, r, _mm512_set1_pd(-1.0 / 4));
    p = _mm512_fmadd_pd(p, r, _mm512_set1_pd(1.0 / 3));
    p = _mm512_fmadd_pd(p, r, _mm512_set1_pd(-1.0 / 2));
    p = _mm512_fmadd_pd(p, r, _mm512_set1_pd(1.0));
    l = _mm512_fmsub_pd(e, _mm512_set1_pd(0x1.62e42fefa39efp-1), l);
    return _mm512_fmadd_pd(p, r, l);
}

AVX512 void pqc_search_logs_avx512(const pqc_groups *g, ptrdiff_t first, ptrdiff_t stride, int n,
                                   double *sums)
{
    if (stride != 1) {
        pqc_search_logs_scalar(g, first, stride, n, sums);
        return;
    }
    const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    int64_t levels = (int64_t)1 << g->shift;
    __m512i candidates = _mm512_add_epi64(_mm512_set1_epi64(first), lanes);
    __m512i at = _mm512_set1_epi64(levels - 1);
    __m128i shift = _mm_cvtsi32_si128(g->shift);
    __m512d before = _mm512_setzero_pd(), filled_before = before, sum = before;
    int64_t base = 0;
    for (int64_t group = 1; group <= levels && base < g->used; group++) {
        at = _mm512_add_epi64(at, candidates);
        base = (group * first + levels - 1) >> g->shift;
        PQC_FETCH_TO_READ(&g->sums[base + PQC_CANDIDATES]);
        PQC_FETCH_TO_READ(&g->filled[base + PQC_CANDIDATES]);
        __m512i place = _mm512_sub_epi64(_mm512_sra_epi64(at, shift), _mm512_set1_epi64(base));
        __m512d s = _mm512_permutexvar_pd(place, _mm512_loadu_pd(g->sums + base));
        __m512d k = _mm512_permutexvar_pd(place, _mm512_loadu_pd(g->filled + base));
        __m512d count = _mm512_sub_pd(s, before), bins = _mm512_sub_pd(k, filled_before);
        __mmask8 some = _mm512_cmp_pd_mask(count, _mm512_setzero_pd(), _CMP_GT_OQ);
        __m512d log_k = _mm512_i32gather_pd(_mm512_cvttpd_epi32(bins), g->logs, 8);
        __m512d d = _mm512_sub_pd(log8(count, g), log_k);
        sum = _mm512_mask3_fmadd_pd(count, d, sum, some);
        before = s;
        filled_before = k;
    }
    _mm512_mask_storeu_pd(sums, (__mmask8)((1u << n) - 1u), sum);
}

#endif
