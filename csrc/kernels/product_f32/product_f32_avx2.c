/* Products of float32 rows with a packed panel of 64 outputs, even and odd k summed separately, with AVX2; see
 * product_f32.h. */
#include "product_f32.h"

#if PQC_X86
#include "avx2.h"

#define INLINE AVX2 PQC_INLINE

enum { NR = PQC_PRODUCT_NR, LANES = 8, PART = 4 }; /* vectors at a time: eight dependency chains */

INLINE void part_of_row(const pqc_product *p, const float *x, const float *w, float *y)
{
    __m256 sum[2 * PART];
    PQC_UNROLL(8)
    for (int i = 0; i < 2 * PART; i++)
        sum[i] = _mm256_setzero_ps();
    for (ptrdiff_t k = 0; k + 2 <= p->k; k += 2, w += 2 * NR) {
        PQC_UNROLL(8)
        for (int i = 0; i < 2 * PART; i++)
            sum[i] = _mm256_fmadd_ps(_mm256_set1_ps(x[k + i / PART]),
                                     _mm256_loadu_ps(w + i / PART * NR + i % PART * LANES), sum[i]);
    }
    for (int v = 0; v < PART && p->k % 2 != 0; v++)
        sum[v] =
            _mm256_fmadd_ps(_mm256_set1_ps(x[p->k - 1]), _mm256_loadu_ps(w + v * LANES), sum[v]);
    PQC_UNROLL(4)
    for (int v = 0; v < PART; v++)
        _mm256_storeu_ps(y + v * LANES, _mm256_add_ps(sum[v], sum[PART + v]));
}

AVX2 void pqc_product_f32_avx2(const pqc_product *p)
{
    for (int c = 0; c < NR; c += PART * LANES)
        for (ptrdiff_t r = 0; r < p->rows; r++)
            part_of_row(p, p->x + r * p->x_row, p->w + c, p->y + r * p->y_row + c);
}

#endif
