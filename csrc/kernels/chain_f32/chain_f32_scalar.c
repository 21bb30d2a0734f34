/* Elementwise operations of chains on float32, in plain C; see chain_f32.h. */
#include "chain_f32_scalar.h"

void pqc_chain_f32_scalar(pqc_chain_kind kind, const float *restrict a, const float *restrict b,
                          float number, float *restrict y, ptrdiff_t n)
{
    chain_loops(kind, a, b, number, y, n);
}
