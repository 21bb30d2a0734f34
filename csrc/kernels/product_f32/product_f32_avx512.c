/* Products of float32 rows with a packed panel of 64 outputs, even and odd k summed separately, with AVX-512; see
 * product_f32.h. */
#include "product_f32.h"

#if PQC_X86
#include "avx512.h"

#define INLINE AVX512 PQC_INLINE

enum { NR = PQC_PRODUCT_NR, VECTORS = NR / 16, MAX_ROWS = 3, PREFETCH = 2048 };

/* R rows; even and odd k are summed separately, so that a single row has eight dependency chains. */
INLINE void block(const pqc_product *p, ptrdiff_t first, const int R)
{
    const float *x = p->x + first * p->x_row, *w = p->w;
    __m512 sum[2 * MAX_ROWS * VECTORS];
    PQC_UNROLL(24)
    for (int i = 0; i < 2 * R * VECTORS; i++)
        sum[i] = _mm512_setzero_ps();
    for (ptrdiff_t k = 0; k + 2 <= p->k; k += 2, w += 2 * NR) {
        PQC_UNROLL(8)
        for (int i = 0; i < 2 * VECTORS; i++) {
            _mm_prefetch((const char *)(w + 16 * i) + PREFETCH, _MM_HINT_T0);
            __m512 weight = _mm512_loadu_ps(w + 16 * i);
            PQC_UNROLL(3)
            for (int r = 0; r < R; r++)
                sum[2 * VECTORS * r + i] =
                    _mm512_fmadd_ps(_mm512_set1_ps(x[r * p->x_row + k + i / VECTORS]), weight,
                                    sum[2 * VECTORS * r + i]);
        }
    }
    for (int r = 0; r < R && p->k % 2 != 0; r++)
        for (int v = 0; v < VECTORS; v++)
            sum[2 * VECTORS * r + v] =
                _mm512_fmadd_ps(_mm512_set1_ps(x[r * p->x_row + p->k - 1]),
                                _mm512_loadu_ps(w + 16 * v), sum[2 * VECTORS * r + v]);
    PQC_UNROLL(3)
    for (int r = 0; r < R; r++) {
        PQC_UNROLL(4)
        for (int v = 0; v < VECTORS; v++)
            _mm512_storeu_ps(
                p->y + (first + r) * p->y_row + 16 * v,
                _mm512_add_ps(sum[2 * VECTORS * r + v], sum[2 * VECTORS * r + VECTORS + v]));
    }
}

AVX512 void pqc_product_f32_avx512(const pqc_product *p)
{
    ptrdiff_t r = 0;
    for (; r + 3 <= p->rows; r += 3)
        block(p, r, 3);
    if (p->rows - r == 2)
        block(p, r, 2);
    if (p->rows - r == 1)
        block(p, r, 1);
}

#endif
