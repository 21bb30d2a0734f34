/* Transposes of 4-byte elements, in plain C; see transpose_f32.h. */
#include "transpose_f32.h"

#include <string.h>

/* By memcpy, so that the bits of a float are unchanged. */
void pqc_transpose_f32_scalar(const float *x, ptrdiff_t x_row, ptrdiff_t rows, ptrdiff_t columns,
                              float *y, ptrdiff_t y_row)
{
    for (ptrdiff_t j = 0; j < columns; j++)
        for (ptrdiff_t i = 0; i < rows; i++)
            memcpy(y + j * y_row + i, x + i * x_row + j, sizeof *y);
}
