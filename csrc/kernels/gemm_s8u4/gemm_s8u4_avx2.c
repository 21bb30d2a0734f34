/* Products of s8 rows with 4-bit weights that have a scale per group, to float32, with AVX2; see gemm_s8u4.h. */
#include "gemm_s8u4.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

/* The sum of two products of a 4-bit weight and a signed byte is at most 3840 in magnitude: this many such sums fit
 * into 16 bits. */
enum { MAX_STEPS = 4, MAX_ROWS = 3 };

INLINE __m256i broadcast_four(const int8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, 4);
    return _mm256_set1_epi32(bytes);
}

/* The initial sums, from the zero points, of R rows by the 8 channels from `at`. */
INLINE void begin(const pqc_gemm_s8u4_params *p, ptrdiff_t at, const int32_t *x_sums, const int R,
                  __m256i *sums)
{
    __m256i from = _mm256_setzero_si256(), zeros = _mm256_set1_epi32(p->zero);
    if (p->weight_sums)
        from = _mm256_mullo_epi32(_mm256_set1_epi32(p->x_zero), load_words(p->weight_sums + at));
    if (p->zeros)
        zeros =
            _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p->zeros + at)));
    PQC_UNROLL(3)
    for (int r = 0; r < R; r++)
        sums[r] = _mm256_sub_epi32(from, _mm256_mullo_epi32(zeros, _mm256_set1_epi32(x_sums[r])));
}

/* Up to MAX_STEPS steps of eight k; `rows` is that of the call, `w` points to 8 channels. */
INLINE void steps_of(const int8_t *x, ptrdiff_t rows, const uint8_t *w, ptrdiff_t steps,
                     const int R, __m256i *sums)
{
    const __m256i half = _mm256_set1_epi8(15);
    __m256i words[3];
    PQC_UNROLL(3)
    for (int r = 0; r < R; r++)
        words[r] = _mm256_setzero_si256();
    for (ptrdiff_t i = 0; i < steps; i++, x += 8 * rows, w += 64) {
        __m256i both = load_words(w);
        __m256i first = _mm256_and_si256(both, half);
        __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), half);
        PQC_UNROLL(3)
        for (int r = 0; r < R; r++) {
            __m256i low = _mm256_maddubs_epi16(first, broadcast_four(x + 4 * r));
            __m256i high = _mm256_maddubs_epi16(second, broadcast_four(x + 4 * (rows + r)));
            words[r] = _mm256_add_epi16(words[r], _mm256_add_epi16(low, high));
        }
    }
    PQC_UNROLL(3)
    for (int r = 0; r < R; r++)
        sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(words[r], _mm256_set1_epi16(1)));
}

/* (float)(by * inverse) of 8 channels. */
INLINE __m256 scales_of(double by, const double *inverse, ptrdiff_t n)
{
    double of[8] = {0};
    memcpy(of, inverse, (size_t)pqc_min(n, 8) * sizeof *of);
    __m128 low = _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_set1_pd(by), _mm256_loadu_pd(of)));
    __m128 high = _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_set1_pd(by), _mm256_loadu_pd(of + 4)));
    return _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
}

INLINE void store(const pqc_gemm_s8u4_params *p, int row, ptrdiff_t channel, __m256i sums,
                  __m256 acc)
{
    ptrdiff_t left = p->channels - channel;
    float *y = p->y + row * p->y_row + channel;
    __m256 bias = p->bias ? first_of(p->bias + channel, left) : _mm256_setzero_ps();
    __m256 by = _mm256_set1_ps((float)p->row_scale[row]);
    if (p->inverse) {
        acc = _mm256_cvtepi32_ps(sums);
        by = scales_of(p->row_scale[row], p->inverse + channel, left);
    }
    store_first(y, _mm256_fmadd_ps(acc, by, bias), left);
}

/* R rows starting at `row`, times the 8 channels starting at `channel`. */
INLINE void block(const pqc_gemm_s8u4_params *p, int row, ptrdiff_t channel, const int R)
{
    const ptrdiff_t panel = channel / PQC_U4_NR, lane = channel % PQC_U4_NR;
    const ptrdiff_t steps = p->length / PQC_U4_KR;
    const uint8_t *w = p->w + panel * pqc_u4_panel_bytes(p->groups, p->length) + 4 * lane;
    __m256i sums[3];
    __m256 acc[3];
    PQC_UNROLL(3)
    for (int r = 0; r < R; r++) {
        acc[r] = _mm256_setzero_ps();
        sums[r] = _mm256_setzero_si256();
    }
    for (ptrdiff_t g = 0; g < p->groups; g++, w += pqc_u4_group_bytes(p->length)) {
        const int8_t *x = p->x + p->rows * g * p->length + 4 * row;
        begin(p, (panel * p->groups + g) * PQC_U4_NR + lane, p->x_sums + g * p->rows + row, R,
              sums);
        for (ptrdiff_t i = 0; i < steps; i += MAX_STEPS)
            steps_of(x + 8 * p->rows * i, p->rows, w + 64 * i, pqc_min(steps - i, MAX_STEPS), R,
                     sums);
        __m256 scale = _mm256_loadu_ps((const float *)(const void *)(w + 64 * steps));
        PQC_UNROLL(3)
        for (int r = 0; r < R; r++)
            acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r]), scale, acc[r]);
    }
    PQC_UNROLL(3)
    for (int r = 0; r < R; r++)
        store(p, row + r, channel, sums[r], acc[r]);
}

AVX2 void pqc_gemm_s8u4_avx2(const pqc_gemm_s8u4_params *p)
{
    for (ptrdiff_t channel = 0; channel < p->channels; channel += 8) {
        int row = 0;
        for (; row + MAX_ROWS <= p->rows; row += MAX_ROWS)
            block(p, row, channel, MAX_ROWS);
        if (p->rows - row == 2)
            block(p, row, channel, 2);
        else if (p->rows - row == 1)
            block(p, row, channel, 1);
    }
}

#endif
