/* Sums of S log(S / k) over the groups of a histogram, in double, for neighbouring candidates, with AVX2; see
 * search_logs.h. */
#include "search_logs.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"

/* As in search_logs_avx512.c, four candidates at a time. */
AVX2 static inline __m256d log4(__m256d x, const pqc_groups *g)
{
    __m256i bits = _mm256_castpd_si256(x);
    __m256i exponent =
        _mm256_or_si256(_mm256_srli_epi64(bits, 52), _mm256_castpd_si256(_mm256_set1_pd(0x1p52)));
    __m256d e = _mm256_sub_pd(_mm256_castsi256_pd(exponent), _mm256_set1_pd(0x1p52 + 1023.0));
    __m256i mantissa = _mm256_and_si256(bits, _mm256_set1_epi64x(((int64_t)1 << 52) - 1));
    __m256d m = _mm256_or_pd(_mm256_castsi256_pd(mantissa), _mm256_set1_pd(1.0));
    __m256i piece = _mm256_srli_epi64(mantissa, 48);
    __m256d c = _mm256_i64gather_pd(g->inverse, piece, 8);
    __m256d l = _mm256_i64gather_pd(g->log_inverse, piece, 8);
    __m256d r = _mm256_fmsub_pd(m, c, _mm256_set1_pd(1.0));
    __m256d p = _mm256_set1_pd(1.0 / 9);
    p = _mm256_fmadd_pd(p, r, _mm256_set1_pd(-1.0 / 8));
    p = _mm256_fmadd_pd(p, r, _mm256_set1_pd(1.0 / 7));
    p = _mm256_fmadd_pd(p, r, _mm256_set1_pd(-1.0 / 6));
    p = _mm256_fmadd_pd(p, r, _mm256_set1_pd(1.0 / 5));
    p = _mm256_fmadd_pd(p, r, _mm256_set1_pd(-1.0 / 4));
    p = _mm256_fmadd_pd(p, r, _mm256_set1_pd(1.0 / 3));
    p = _mm256_fmadd_pd(p, r, _mm256_set1_pd(-1.0 / 2));
    p = _mm256_fmadd_pd(p, r, _mm256_set1_pd(1.0));
    l = _mm256_fmsub_pd(e, _mm256_set1_pd(0x1.62e42fefa39efp-1), l);
    return _mm256_fmadd_pd(p, r, l);
}

/* x[place] for four doubles, each place in [0, 3]. */
AVX2 static inline __m256d pick4(const double *x, __m256i place)
{
    __m256i low = _mm256_slli_epi64(place, 1);
    __m256i high = _mm256_slli_epi64(_mm256_add_epi64(low, _mm256_set1_epi64x(1)), 32);
    __m256 four = _mm256_castpd_ps(_mm256_loadu_pd(x));
    return _mm256_castps_pd(_mm256_permutevar8x32_ps(four, _mm256_or_si256(low, high)));
}

/* An empty group contributes 0 times the finite number that log4 gives for 0. */
AVX2 static void four(const pqc_groups *g, ptrdiff_t first, double *sums)
{
    int64_t levels = (int64_t)1 << g->shift;
    __m256i candidates =
        _mm256_add_epi64(_mm256_set1_epi64x(first), _mm256_setr_epi64x(0, 1, 2, 3));
    __m256i at = _mm256_set1_epi64x(levels - 1);
    __m128i shift = _mm_cvtsi32_si128(g->shift);
    __m256d before = _mm256_setzero_pd(), filled_before = before, sum = before;
    int64_t base = 0;
    for (int64_t group = 1; group <= levels && base < g->used; group++) {
        at = _mm256_add_epi64(at, candidates);
        base = (group * first + levels - 1) >> g->shift;
        PQC_FETCH_TO_READ(&g->sums[base + PQC_CANDIDATES]);
        PQC_FETCH_TO_READ(&g->filled[base + PQC_CANDIDATES]);
        __m256i place = _mm256_sub_epi64(_mm256_srl_epi64(at, shift), _mm256_set1_epi64x(base));
        __m256d s = pick4(g->sums + base, place), k = pick4(g->filled + base, place);
        __m256d count = _mm256_sub_pd(s, before);
        __m128i bins = _mm256_cvttpd_epi32(_mm256_sub_pd(k, filled_before));
        __m256d log_k = _mm256_i32gather_pd(g->logs, bins, 8);
        sum = _mm256_fmadd_pd(count, _mm256_sub_pd(log4(count, g), log_k), sum);
        before = s;
        filled_before = k;
    }
    _mm256_storeu_pd(sums, sum);
}

AVX2 void pqc_search_logs_avx2(const pqc_groups *g, ptrdiff_t first, ptrdiff_t stride, int n,
                               double *sums)
{
    double found[PQC_CANDIDATES];
    if (stride != 1) {
        pqc_search_logs_scalar(g, first, stride, n, sums);
        return;
    }
    for (int k = 0; k < n; k += 4)
        four(g, first + k, found + k);
    for (int k = 0; k < n; k++)
        sums[k] = found[k];
}

#endif
