/* Bin numbers of float32 magnitudes, and their range, with AVX2; see histogram.h. */
#include "histogram.h"
#include "pqc.h"

#if PQC_X86
#include "avx2.h"
#include "bits.h"

/* Zeros go to eight bin numbers that mean no bin, one per lane, so that counting them does not wait for itself.  A t
 * near an integer is rare; such lanes are decided by comparison. */
AVX2 PQC_NOINLINE __m256i decide8(__m256i k, __m256 v, unsigned unsure, const pqc_binning *b)
{
    uint32_t bins[8];
    float values[8];
    _mm256_storeu_si256((__m256i *)bins, k);
    _mm256_storeu_ps(values, v);
    for (int lane = 0; lane < 8; lane++)
        if (unsure >> lane & 1)
            bins[lane] = pqc_bin_of(values[lane], b);
    return _mm256_loadu_si256((const __m256i *)bins);
}

/* True if k is a bin: compared as unsigned numbers, k <= last. */
AVX2 static inline __m256i inside8(__m256i k, __m256i last)
{
    return _mm256_cmpeq_epi32(_mm256_min_epu32(k, last), k);
}

AVX2 ptrdiff_t pqc_bin_f32_avx2(const float *x, ptrdiff_t n, const pqc_binning *b, uint32_t *bin,
                                pqc_binned *seen)
{
    __m256 lo = _mm256_set1_ps(b->lo), inv = _mm256_set1_ps(b->inv);
    __m256 half = _mm256_set1_ps(0.5f), sure = _mm256_set1_ps(0.5f - b->margin);
    __m256i last = _mm256_set1_epi32((int)b->bins - 1), zero = _mm256_setzero_si256();
    __m256i none = _mm256_add_epi32(_mm256_set1_epi32((int)b->bins),
                                    _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i largest = zero, zeros = zero;
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = abs8(_mm256_loadu_ps(x + i));
        __m256i bits = _mm256_castps_si256(v), empty = _mm256_cmpeq_epi32(bits, zero);
        largest = _mm256_max_epu32(largest, bits);
        zeros = _mm256_sub_epi32(zeros, empty);
        __m256 t = _mm256_mul_ps(_mm256_sub_ps(v, lo), inv);
        __m256i k = _mm256_cvttps_epi32(t);
        __m256 off = abs8(_mm256_sub_ps(_mm256_sub_ps(t, _mm256_cvtepi32_ps(k)), half));
        __m256i good = _mm256_and_si256(inside8(k, last),
                                        _mm256_castps_si256(_mm256_cmp_ps(off, sure, _CMP_LT_OQ)));
        good = _mm256_or_si256(good, empty);
        unsigned unsure = 0xffu ^ (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(good));
        k = unsure ? decide8(k, v, unsure, b) : k;
        _mm256_storeu_si256((__m256i *)(bin + i), _mm256_blendv_epi8(k, none, empty));
    }
    uint32_t each[8], zeros_of[8];
    _mm256_storeu_si256((__m256i *)each, largest);
    _mm256_storeu_si256((__m256i *)zeros_of, zeros);
    for (int lane = 0; lane < 8; lane++) {
        seen->largest = each[lane] > seen->largest ? each[lane] : seen->largest;
        seen->zeros += zeros_of[lane];
    }
    return i + pqc_bin_f32_scalar(x + i, n - i, b, bin + i, seen);
}

#endif
