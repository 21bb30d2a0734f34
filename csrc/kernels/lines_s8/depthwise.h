/* Depthwise blocks that a body may take several rows at a time of. */
#ifndef PQC_DEPTHWISE_H
#define PQC_DEPTHWISE_H

#include "lines_s8.h"

typedef struct {
    int kernel_rows, steps; /* rows of the kernel; steps along one */
    int stride;             /* of rows */
    ptrdiff_t pitch;        /* bytes from an input row to the next */
} pqc_depthwise_grid;

/* True for one channel in columns with a kernel of 3 rows of one step, or 5 or 7 rows of two (4 taps each), at even
 * distances, and rows of outputs 1 or 2 input rows apart. */
static inline bool pqc_depthwise_grid_of(const pqc_lines_s8_block *g, pqc_depthwise_grid *grid)
{
    if (g->channels != 1 || g->dilation == 0 || (g->k != 3 && g->k != 10 && g->k != 14))
        return false;
    int steps = g->k == 3 ? 1 : 2, kernel_rows = (int)(g->k / steps);
    ptrdiff_t pitch = g->offset[steps] - g->offset[0];
    for (int row = 0; row < kernel_rows; row++)
        for (int step = 0; step < steps; step++)
            if (g->offset[row * steps + step] !=
                g->offset[0] + row * pitch + step * 4 * g->dilation)
                return false;
    int stride = g->x_row == pitch ? 1 : g->x_row == 2 * pitch ? 2 : 0;
    *grid = (pqc_depthwise_grid){kernel_rows, steps, stride, pitch};
    return stride != 0;
}

#endif
