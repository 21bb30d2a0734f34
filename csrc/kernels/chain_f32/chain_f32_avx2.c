#include "chain_f32_scalar.h"

#if PQC_X86

PQC_TARGET_AVX2 void pqc_chain_f32_avx2(pqc_chain_kind kind, const float *restrict a,
                                        const float *restrict b, float number, float *restrict y,
                                        ptrdiff_t n)
{
    chain_loops(kind, a, b, number, y, n);
}

#endif
