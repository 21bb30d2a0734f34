/* What recurrent cells make of the sums for their gates, of one row of n units.  x and u: the products of the input and of the
 * hidden state with their biases, gates one after the other, n numbers each; u is not NULL.  Every operation is rounded once;
 * sigmoid and tanh are those of elementary_scalar.h.
 *
 *     lstm         i, f, g, o = x + u:  c = sigmoid(f) * c + sigmoid(i) * tanh(g),  h = sigmoid(o) * tanh(c)
 *     gru          r, z = sigmoid(x + u), n = tanh(x + r * u):  h = n + z * (h - n)
 *     gru_gates    r, z = sigmoid(x + u):  reset = r * h; z is kept for
 *     gru_finish   n = tanh(x + u):  h = n + z * (h - n); x and u begin at the candidate
 *
 * h and c are read and written; nothing else overlaps.  NaN goes through.  Same bits from every ISA. */
#ifndef PQC_CELL_F32_H
#define PQC_CELL_F32_H

#include "pqc.h"

typedef void pqc_lstm_f32_fn(const float *x, const float *u, float *c, float *h, ptrdiff_t n);
typedef void pqc_gru_f32_fn(const float *x, const float *u, float *h, ptrdiff_t n);
typedef void pqc_gru_gates_f32_fn(const float *x, const float *u, const float *h, float *reset,
                                  float *z, ptrdiff_t n);
typedef void pqc_gru_finish_f32_fn(const float *x, const float *u, const float *z, float *h,
                                   ptrdiff_t n);

pqc_lstm_f32_fn pqc_lstm_f32_scalar, pqc_lstm_f32_avx2, pqc_lstm_f32_avx512;
pqc_gru_f32_fn pqc_gru_f32_scalar, pqc_gru_f32_avx2, pqc_gru_f32_avx512;
pqc_gru_gates_f32_fn pqc_gru_gates_f32_scalar, pqc_gru_gates_f32_avx2, pqc_gru_gates_f32_avx512;
pqc_gru_finish_f32_fn pqc_gru_finish_f32_scalar, pqc_gru_finish_f32_avx2, pqc_gru_finish_f32_avx512;

#endif
