/* LSTM and GRU cells on float32 gate sums, in plain C; see cell_f32.h. */
#include "cell_f32_scalar.h"

void pqc_lstm_f32_scalar(const float *x, const float *u, float *c, float *h, ptrdiff_t n)
{
    lstm_row(x, u, c, h, n);
}

void pqc_gru_f32_scalar(const float *x, const float *u, float *h, ptrdiff_t n)
{
    gru_row(x, u, h, n);
}

void pqc_gru_gates_f32_scalar(const float *x, const float *u, const float *h, float *reset,
                              float *z, ptrdiff_t n)
{
    gru_gates_row(x, u, h, reset, z, n);
}

void pqc_gru_finish_f32_scalar(const float *x, const float *u, const float *z, float *h,
                               ptrdiff_t n)
{
    gru_finish_row(x, u, z, h, n);
}
