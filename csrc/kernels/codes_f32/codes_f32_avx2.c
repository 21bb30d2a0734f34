/* Codes of one or two bytes to float32 and back, with AVX2; see codes_f32.h. */
#include "codes_f32_scalar.h"

#if PQC_X86

PQC_TARGET_AVX2 void pqc_decode_f32_avx2(const pqc_pixels *form, const void *restrict codes,
                                         float *restrict y, ptrdiff_t n)
{
    decode_loops(form, codes, y, n);
}

PQC_TARGET_AVX2 unsigned pqc_encode_f32_avx2(const pqc_pixels *form, const float *restrict x,
                                             void *restrict codes, ptrdiff_t n)
{
    return encode_loops(form, x, codes, n);
}

#endif
