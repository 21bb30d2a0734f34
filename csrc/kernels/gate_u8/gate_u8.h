/* Bytes of sums that end in GELU or SiLU: of pixel p and channel c, in float32, each operation rounded once,
 *
 *     x = fma((float)acc[p * ld + c], scale[c], bias[c])
 *     y = GELU or SILU of x, as chain_f32.h has them
 *     code = clamp(rint(y * mul), lo, hi) + zero
 *
 *   acc   read up to the next multiple of 16 channels, ld being one
 *   f     scale, bias and output[0], which pqc_gate_u8_takes accepts; the rest is not read
 *
 * Every x has to be finite.  Ties to even.  The bits are those of finish_nhwc, chain_f32 and encode_f32, one after the other. */
#ifndef PQC_GATE_U8_H
#define PQC_GATE_U8_H

#include "chain_f32/chain_f32.h"
#include "requantize/requantize.h"

typedef void pqc_gate_u8_fn(pqc_chain_kind kind, const int32_t *acc, ptrdiff_t ld, int pixels,
                            int channels, const pqc_output *f);

pqc_gate_u8_fn pqc_gate_u8_avx512;

static inline bool pqc_gate_u8_takes(pqc_chain_kind kind, const pqc_pixels *to)
{
    return (kind == PQC_CHAIN_GELU || kind == PQC_CHAIN_SILU) && to->content == PQC_U8_CODES &&
           !to->refuses_negative && to->mul > 0x1p-30f && to->mul <= 1024.0f;
}

#endif
