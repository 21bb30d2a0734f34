/* LSTM and GRU layers over whole sequences, in one or two directions, given the input's products.  Each step
 * multiplies the hidden state, as integers (a linear layer's packed weights, a fixed range) or as floats
 * (product_f32.h), and then runs cell_f32.h. */
#ifndef PQC_RECURRENT_H
#define PQC_RECURRENT_H

#include "conv.h"

typedef enum { PQC_LSTM, PQC_GRU, PQC_GRU_RESET_FIRST, PQC_LSTM_PROJECTED, PQC_CELLS } pqc_cell;

enum { PQC_MAX_DIRECTIONS = 2, PQC_STATE_PRODUCTS = 2 };

/* `out` numbers of `in` of a state.
 *
 *   integers  the packed weights; states are quantised by q and divided by div; or NULL:
 *   floats    panels of product_f32.h, pqc_float_panels(out, in) floats
 *   bias      out, or NULL: zeros */
typedef struct {
    const pqc_packed_weights *integers;
    const float *floats, *bias;
    ptrdiff_t in, out;
    pqc_u8_quant q;
    float div;
} pqc_state_product;

/* Steps follow each other in rows: step t has the next sizes[t] rows, which never grow with t (the longest sequence first), or
 * `batch` if sizes is NULL.  Forwards a sequence's state is final when it ends; backwards it joins with its initial state
 * there.
 *
 *   hidden       units
 *   state        numbers of a hidden state: units, or those that PQC_LSTM_PROJECTED makes of them
 *   ahead        products of the input, rows x directions * gates * hidden; gates as in cell_f32.h
 *   y            output of row r = first of step t + i, direction d: y + first * directions * state + d * y_direction + i * y_row
 *   h, c         directions x batch x state, x hidden: initial states, then final ones; c NULL but of an LSTM
 *   product      of each direction; the second one of PQC_GRU_RESET_FIRST, whose first has the gates, the second the candidate, and
 *                of PQC_LSTM_PROJECTED: the projection
 *   reverse      the first direction, too, runs backwards
 *   workspace    pqc_recurrent_workspace bytes, 64-aligned */
typedef struct {
    pqc_cell cell;
    ptrdiff_t hidden, state, directions, steps, batch, rows;
    const int64_t *sizes;
    bool reverse;
    const float *ahead;
    float *y;
    ptrdiff_t y_direction, y_row;
    float *h, *c;
    pqc_state_product product[PQC_MAX_DIRECTIONS][PQC_STATE_PRODUCTS];
    void *workspace;
} pqc_recurrent;

static inline int pqc_cell_gates(pqc_cell cell)
{
    return cell == PQC_LSTM || cell == PQC_LSTM_PROJECTED ? 4 : 3;
}

static inline int pqc_cell_products(pqc_cell cell)
{
    return cell == PQC_GRU_RESET_FIRST || cell == PQC_LSTM_PROJECTED ? 2 : 1;
}

ptrdiff_t pqc_float_panels(ptrdiff_t out, ptrdiff_t in);

/* Packs a float32 (out, in) matrix. */
void pqc_pack_float_panels(const float *weight, ptrdiff_t out, ptrdiff_t in, float *panels);

ptrdiff_t pqc_recurrent_workspace(const pqc_recurrent *r);

/* Returns the flags of pack_u8.h: if there are any, the results are not meaningful. */
unsigned pqc_recurrent_run(const pqc_recurrent *r);

#endif
