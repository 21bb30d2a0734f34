/* Products of float32 rows with a packed panel of 64 outputs, even and odd k summed separately, in plain C; see
 * product_f32.h. */
#include "product_f32.h"

#include <math.h>

enum { NR = PQC_PRODUCT_NR };

void pqc_product_f32_scalar(const pqc_product *p)
{
    for (ptrdiff_t r = 0; r < p->rows; r++) {
        const float *x = p->x + r * p->x_row;
        float sum[2][NR] = {{0}};
        for (ptrdiff_t k = 0; k < p->k; k++)
            for (int c = 0; c < NR; c++)
                sum[k % 2][c] = fmaf(x[k], p->w[k * NR + c], sum[k % 2][c]);
        for (int c = 0; c < NR; c++)
            p->y[r * p->y_row + c] = sum[0][c] + sum[1][c];
    }
}
