/* Elementwise operations of chains on float32, with NEON; see chain_f32.h. */
#include "chain_f32_scalar.h"

#if PQC_ARM
#include "elementary/elementary_neon.h"

static void erf_or_gelu(pqc_chain_kind kind, const float *a, float *y, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t x = vld1q_f32(a + i);
        vst1q_f32(y + i, kind == PQC_CHAIN_ERF ? erf4(x) : gelu4(x));
    }
    for (; i < n; i++)
        y[i] = kind == PQC_CHAIN_ERF ? pqc_erf_of(a[i]) : pqc_gelu_of(a[i]);
}

void pqc_chain_f32_neon(pqc_chain_kind kind, const float *restrict a, const float *restrict b,
                        float number, float *restrict y, ptrdiff_t n)
{
    if (kind >= PQC_CHAIN_ERF)
        erf_or_gelu(kind, a, y, n);
    else
        chain_loops(kind, a, b, number, y, n);
}

#endif
