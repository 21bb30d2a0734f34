/* Elementwise quantisation of a whole array of any float type, with a scale per channel, on all threads. */
#ifndef PQC_ELEMENTWISE_H
#define PQC_ELEMENTWISE_H

#include "chain_f32/chain_f32.h"
#include "quant_params/quant_params.h"

typedef enum {
    PQC_QUANTIZE,    /* int_quant/ */
    PQC_FAKE_QUANT,  /* int_quant/ */
    PQC_FLOAT_QUANT, /* float_quant/ */
    PQC_STE,         /* ste/; `q.mul` holds amax, `grad` the gradients */
} pqc_operation;

typedef struct {
    pqc_operation operation;
    pqc_dtype dtype;
    const void *x, *grad; /* n elements of dtype */
    void *y;              /* n elements; may be x, no other overlap */
    ptrdiff_t n;
    pqc_quantization q;
} pqc_elementwise;

/* Halves are computed in float32 and rounded once.  Same bits however the work is split. */
void pqc_apply(const pqc_elementwise *job);

/* PQC_CHAIN_ERF, _SIGMOID or _TANH of n floats, or doubles, on all threads.  No overlap. */
void pqc_apply_function(pqc_chain_kind function, const void *x, void *y, ptrdiff_t n,
                        bool is_double);

#endif
