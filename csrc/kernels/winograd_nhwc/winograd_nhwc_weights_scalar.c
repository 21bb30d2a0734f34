/* Transforms 3 x 3 kernels of weights; see winograd_nhwc.h. */
#include "winograd_nhwc.h"

/* G (a, b, c) */
static void widen(int a, int b, int c, int *to)
{
    to[0] = a;
    to[1] = a + b + c;
    to[2] = a - b + c;
    to[3] = a + 2 * b + 4 * c;
    to[4] = a - 2 * b + 4 * c;
    to[5] = c;
}

void pqc_winograd_nhwc_weights(const int8_t *g, int16_t u[PQC_WINOGRAD_POSITIONS])
{
    static const int factor[PQC_WINOGRAD_TAPS] = {6, -4, -4, 1, 1, 24};
    int row[3][PQC_WINOGRAD_TAPS];
    for (int i = 0; i < 3; i++)
        widen(g[3 * i], g[3 * i + 1], g[3 * i + 2], row[i]);
    for (int j = 0; j < PQC_WINOGRAD_TAPS; j++) {
        int column[PQC_WINOGRAD_TAPS];
        widen(row[0][j], row[1][j], row[2][j], column);
        for (int i = 0; i < PQC_WINOGRAD_TAPS; i++)
            u[PQC_WINOGRAD_TAPS * i + j] = (int16_t)(factor[i] * column[i]);
    }
}
