/* Scalar loops of softmax and layer normalisation.  Each body includes them, and the compiler vectorises them for its
 * ISA. */
#ifndef PQC_ROWS_F32_SCALAR_H
#define PQC_ROWS_F32_SCALAR_H

#include "elementary/elementary_scalar.h"
#include "rows_f32.h"

enum { ROW_LANES = 16 };

PQC_INLINE float row_maximum(const float *x, ptrdiff_t n)
{
    float lanes[ROW_LANES];
    ptrdiff_t i = 0;
    for (int l = 0; l < ROW_LANES; l++)
        lanes[l] = x[0];
    for (; i + ROW_LANES <= n; i += ROW_LANES)
        for (int l = 0; l < ROW_LANES; l++)
            lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    for (int l = 0; i + l < n; l++)
        lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    for (int l = 1; l < ROW_LANES; l++)
        lanes[0] = lanes[l] > lanes[0] ? lanes[l] : lanes[0];
    return lanes[0];
}

PQC_INLINE float sum_of_lanes(float *lanes)
{
    for (int half = ROW_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return lanes[0];
}

PQC_INLINE double double_sum_of_lanes(double *lanes)
{
    for (int half = ROW_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return lanes[0];
}

PQC_INLINE float row_sum(const float *x, ptrdiff_t n)
{
    float lanes[ROW_LANES] = {0};
    ptrdiff_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES)
        for (int l = 0; l < ROW_LANES; l++)
            lanes[l] += x[i + l];
    for (int l = 0; i + l < n; l++)
        lanes[l] += x[i + l];
    return sum_of_lanes(lanes);
}

PQC_INLINE double row_mean(const float *x, ptrdiff_t n)
{
    double lanes[ROW_LANES] = {0};
    ptrdiff_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES)
        for (int l = 0; l < ROW_LANES; l++)
            lanes[l] += (double)x[i + l];
    for (int l = 0; i + l < n; l++)
        lanes[l] += (double)x[i + l];
    return double_sum_of_lanes(lanes) / (double)n;
}

PQC_INLINE double row_mean_of_squares(const float *c, ptrdiff_t n)
{
    double lanes[ROW_LANES] = {0};
    ptrdiff_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES)
        for (int l = 0; l < ROW_LANES; l++) {
            float square = c[i + l] * c[i + l];
            lanes[l] += (double)square;
        }
    for (int l = 0; i + l < n; l++) {
        float square = c[i + l] * c[i + l];
        lanes[l] += (double)square;
    }
    return double_sum_of_lanes(lanes) / (double)n;
}

PQC_INLINE void softmax_row(const float *x, float *y, ptrdiff_t n)
{
    float top = row_maximum(x, n);
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = pqc_exp_of(x[i] - top);
    float factor = 1.0f / row_sum(y, n);
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = y[i] * factor;
}

PQC_INLINE void layer_norm_row(const float *x, float *y, ptrdiff_t n, const pqc_layer_norm *p)
{
    const float *weight = p->weight, *bias = p->bias;
    float mean = (float)row_mean(x, n);
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = x[i] - mean;
    float factor = (float)(1.0 / sqrt(row_mean_of_squares(y, n) + p->epsilon));
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = y[i] * factor;
    if (weight)
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = y[i] * weight[i];
    if (bias)
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = y[i] + bias[i];
}

#endif
