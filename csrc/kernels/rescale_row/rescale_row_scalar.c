/* Scale and bias of a float32 row that has a scale of its own, in plain C; see rescale_row.h. */
#include "rescale_row.h"

#include <math.h>

void pqc_rescale_row_scalar(float *y, ptrdiff_t n, double row, const double *inverse,
                            const float *bias)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = fmaf(y[i], (float)(row * inverse[i]), bias[i]);
}
