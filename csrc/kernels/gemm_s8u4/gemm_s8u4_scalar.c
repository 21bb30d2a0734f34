/* Products of s8 rows with 4-bit weights that have a scale per group, to float32, in plain C; see gemm_s8u4.h. */
#include "gemm_s8u4.h"

#include <math.h>
#include <string.h>

/* The product of one row, group and channel, without zero points; each four codes are `next` bytes after the previous
 * four. */
static uint32_t product(const int8_t *x, ptrdiff_t next, const uint8_t *w, ptrdiff_t length)
{
    int32_t sum = 0;
    for (ptrdiff_t k = 0; k < length; k += PQC_U4_KR, x += 2 * next, w += 64)
        for (int i = 0; i < 4; i++)
            sum += x[i] * (w[i] & 15) + x[next + i] * (w[i] >> 4);
    return (uint32_t)sum;
}

static void row_by_channel(const pqc_gemm_s8u4_params *p, ptrdiff_t row, ptrdiff_t channel)
{
    ptrdiff_t panel = channel / PQC_U4_NR, lane = channel % PQC_U4_NR;
    const uint8_t *w = p->w + panel * pqc_u4_panel_bytes(p->groups, p->length);
    float acc = 0, bias = p->bias ? p->bias[channel] : 0;
    int32_t sum = 0;
    for (ptrdiff_t g = 0; g < p->groups; g++, w += pqc_u4_group_bytes(p->length)) {
        ptrdiff_t at = (panel * p->groups + g) * PQC_U4_NR + lane;
        int zero = p->zeros ? p->zeros[at] : p->zero;
        uint32_t s =
            product(p->x + p->rows * g * p->length + 4 * row, 4 * p->rows, w + 4 * lane, p->length);
        s -= (uint32_t)zero * (uint32_t)p->x_sums[g * p->rows + row];
        if (p->weight_sums)
            s += (uint32_t)p->x_zero * (uint32_t)p->weight_sums[at];
        float scale;
        memcpy(&scale, w + PQC_U4_NR / 2 * p->length + 4 * lane, sizeof scale);
        sum = (int32_t)s;
        acc = fmaf((float)sum, scale, acc);
    }
    double by = p->row_scale[row];
    p->y[row * p->y_row + channel] = p->inverse
                                         ? fmaf((float)sum, (float)(by * p->inverse[channel]), bias)
                                         : fmaf(acc, (float)by, bias);
}

void pqc_gemm_s8u4_scalar(const pqc_gemm_s8u4_params *p)
{
    for (ptrdiff_t row = 0; row < p->rows; row++)
        for (ptrdiff_t channel = 0; channel < p->channels; channel++)
            row_by_channel(p, row, channel);
}
