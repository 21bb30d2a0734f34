/* Transposes of 4-byte elements, with AVX2; see transpose_f32.h. */
#include "transpose_f32.h"

#if PQC_X86
#include "avx2.h"

AVX2 PQC_INLINE void transpose8(const float *x, ptrdiff_t x_row, float *y, ptrdiff_t y_row)
{
    __m256 a[8], b[8];
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++) { /* rows i and i + 4 in the two halves of a vector */
        for (int half = 0; half < 2; half++) {
            __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(x + i * x_row + 4 * half));
            a[i + 4 * half] =
                _mm256_insertf128_ps(low, _mm_loadu_ps(x + (i + 4) * x_row + 4 * half), 1);
        }
    }
    PQC_UNROLL(2)
    for (int half = 0; half < 2; half++) {
        __m256 *r = a + 4 * half, *to = b + 4 * half;
        __m256 t0 = _mm256_unpacklo_ps(r[0], r[1]), t1 = _mm256_unpackhi_ps(r[0], r[1]);
        __m256 t2 = _mm256_unpacklo_ps(r[2], r[3]), t3 = _mm256_unpackhi_ps(r[2], r[3]);
        to[0] = _mm256_shuffle_ps(t0, t2, 0x44);
        to[1] = _mm256_shuffle_ps(t0, t2, 0xee);
        to[2] = _mm256_shuffle_ps(t1, t3, 0x44);
        to[3] = _mm256_shuffle_ps(t1, t3, 0xee);
    }
    PQC_UNROLL(8)
    for (int j = 0; j < 8; j++)
        _mm256_storeu_ps(y + j * y_row, b[j]);
}

AVX2 void pqc_transpose_f32_avx2(const float *x, ptrdiff_t x_row, ptrdiff_t rows, ptrdiff_t columns,
                                 float *y, ptrdiff_t y_row)
{
    ptrdiff_t whole_rows = rows & -8, whole = columns & -8;
    for (ptrdiff_t i = 0; i < whole_rows; i += 8)
        for (ptrdiff_t j = 0; j < whole; j += 8)
            transpose8(x + i * x_row + j, x_row, y + j * y_row + i, y_row);
    if (whole < columns)
        pqc_transpose_f32_scalar(x + whole, x_row, whole_rows, columns - whole, y + whole * y_row,
                                 y_row);
    if (whole_rows < rows)
        pqc_transpose_f32_scalar(x + whole_rows * x_row, x_row, rows - whole_rows, columns,
                                 y + whole_rows, y_row);
}

#endif
