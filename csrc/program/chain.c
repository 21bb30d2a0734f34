/* Checks and runs elementwise chains on blocks of float32. */
#include "chain.h"

#include "dispatch.h"

const char *pqc_chain_check(const pqc_chain_op *ops, ptrdiff_t count, int operands)
{
    bool known[PQC_MAX_REGISTERS] = {false};
    if (count > PQC_MAX_CHAIN)
        return "a chain that is too long";
    for (int i = 0; i < operands; i++)
        known[i] = true;
    for (ptrdiff_t i = 0; i < count; i++) {
        const pqc_chain_op *o = &ops[i];
        bool two = pqc_chain_has_two(o->kind);
        if (o->a < 0 || o->a >= PQC_MAX_REGISTERS || !known[o->a] ||
            (two && (o->b < 0 || o->b >= PQC_MAX_REGISTERS || !known[o->b])))
            return "a chain that reads what is not there";
        if (o->to < PQC_MAX_OPERANDS || o->to >= PQC_MAX_REGISTERS || o->to == o->a ||
            (two && o->to == o->b))
            return "a chain that writes where it must not";
        known[o->to] = true;
    }
    return NULL;
}

const float *pqc_chain_run(const pqc_chain_op *ops, ptrdiff_t count, float *const *values,
                           ptrdiff_t n)
{
    const float *last = values[0];
    for (ptrdiff_t i = 0; i < count; i++) {
        const pqc_chain_op *o = &ops[i];
        const float *b = pqc_chain_has_two(o->kind) ? values[o->b] : NULL;
        pqc.chain_f32(o->kind, values[o->a], b, o->number, values[o->to], n);
        last = values[o->to];
    }
    return last;
}
