/* Scalar loops of the recurrent cells.  Each body includes them, and the compiler vectorises them for its ISA. */
#ifndef PQC_CELL_F32_SCALAR_H
#define PQC_CELL_F32_SCALAR_H

#include "cell_f32.h"
#include "elementary/elementary_scalar.h"

PQC_INLINE void lstm_row(const float *restrict x, const float *restrict u, float *restrict c,
                         float *restrict h, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        float in = pqc_sigmoid_of(x[i] + u[i]), forget = pqc_sigmoid_of(x[n + i] + u[n + i]);
        float candidate = pqc_tanh_of(x[2 * n + i] + u[2 * n + i]);
        float kept = forget * c[i], taken = in * candidate;
        c[i] = kept + taken;
        h[i] = pqc_sigmoid_of(x[3 * n + i] + u[3 * n + i]) * pqc_tanh_of(c[i]);
    }
}

PQC_INLINE float between(float n, float z, float h)
{
    float part = z * (h - n);
    return n + part;
}

PQC_INLINE void gru_row(const float *restrict x, const float *restrict u, float *restrict h,
                        ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        float reset = pqc_sigmoid_of(x[i] + u[i]), z = pqc_sigmoid_of(x[n + i] + u[n + i]);
        float inner = reset * u[2 * n + i];
        h[i] = between(pqc_tanh_of(x[2 * n + i] + inner), z, h[i]);
    }
}

PQC_INLINE void gru_gates_row(const float *restrict x, const float *restrict u,
                              const float *restrict h, float *restrict reset, float *restrict z,
                              ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        reset[i] = pqc_sigmoid_of(x[i] + u[i]) * h[i];
        z[i] = pqc_sigmoid_of(x[n + i] + u[n + i]);
    }
}

PQC_INLINE void gru_finish_row(const float *restrict x, const float *restrict u,
                               const float *restrict z, float *restrict h, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        h[i] = between(pqc_tanh_of(x[i] + u[i]), z[i], h[i]);
}

#endif
