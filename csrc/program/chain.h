/* Elementwise chains: operations of chain_f32.h on registers of PQC_BLOCK floats, of which the first hold the operands. */
#ifndef PQC_CHAIN_H
#define PQC_CHAIN_H

#include "chain_f32/chain_f32.h"

enum { PQC_MAX_OPERANDS = 4, PQC_MAX_REGISTERS = 10, PQC_MAX_CHAIN = 64 };

/* The operation on registers a and b, or on a and `number`, goes to register `to`. */
typedef struct {
    pqc_chain_kind kind;
    int a, b, to;
    float number;
} pqc_chain_op;

/* NULL if the operations are valid for this number of operands, else what is wrong. */
const char *pqc_chain_check(const pqc_chain_op *ops, ptrdiff_t count, int operands);

/* Runs the operations on n <= PQC_BLOCK elements.  `values[i]`, PQC_MAX_REGISTERS of them, point to the registers;
 * those of operands are only read.  Returns the last result, or the first operand if there is no operation. */
const float *pqc_chain_run(const pqc_chain_op *ops, ptrdiff_t count, float *const *values,
                           ptrdiff_t n);

#endif
