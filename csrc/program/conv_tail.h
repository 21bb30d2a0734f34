/* Where a convolution's sums go: through the output stage to the outputs; or, if a chain follows, as floats into L1, through the
 * chain, and from there to the outputs.  A convolution of floats (float_conv_step.c) begins with the chain. */
#ifndef PQC_CONV_TAIL_H
#define PQC_CONV_TAIL_H

#include "chain_block.h"
#include "gate_u8/gate_u8.h"
#include "step.h"

/* A place for results: pixels of a row (of several if `pqc_tail.together`), from (n, y, x), and channels. */
typedef struct {
    ptrdiff_t n, y, x, channel;
    int pixels, channels;
} pqc_results;

enum { PQC_MAX_TAIL = 64 };

/* What one thread keeps: `to`, which has no addresses between calls; `registers` and `floats` for a chain.  Of a convolution of
 * floats `to` and `together` stay unset.
 *
 *   together  the pixels of whole rows follow on each other everywhere, without a border between them; not before a chain, whose
 *             operands rows may share
 *   gate      makes the codes of a chain that is GELU or SiLU alone; or NULL */
typedef struct {
    const pqc_step *step;
    char *const *buffers;
    pqc_output to;
    bool together;
    pqc_gate_u8_fn *gate;
    pqc_view operand[PQC_MAX_OPERANDS - 2], output[PQC_MAX_OUTPUTS];
    int operands;
    pqc_registers registers;
    _Alignas(64) float floats[PQC_MAX_TAIL * PQC_NR];
} pqc_tail;

/* NULL if the chain of a convolution is valid, else what is wrong. */
const char *pqc_tail_check(const pqc_step *step);

/* Moves a convolution's chain into the output stage, if that can compute it. */
void pqc_tail_fold(pqc_step *step);

/* The output stage without addresses; if a chain follows it ends in floats. */
pqc_output pqc_tail_output(const pqc_step *step);

void pqc_tail_begin(pqc_tail *tail, const pqc_step *step, char *const *buffers);

/* Finishes at most PQC_MAX_TAIL * PQC_NR sums; pixels are `ld` numbers apart.  Returns the flags
 * of pack_u8.h. */
unsigned pqc_tail_finish(pqc_tail *tail, const pqc_results *r, const int32_t *acc, ptrdiff_t ld);

/* Runs only the chain, on floats whose channels are contiguous in each pixel. */
unsigned pqc_tail_chain(pqc_tail *tail, const pqc_results *r, float *floats);

#endif
