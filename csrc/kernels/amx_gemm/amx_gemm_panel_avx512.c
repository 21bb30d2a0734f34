/* Gathers the bytes of 16 pixels into a B panel for AMX, with AVX-512; see amx_gemm.h. */
#include "amx_gemm_avx512.h"

#if PQC_AMX_COMPILES
#include "avx512.h"
#include "kw4_avx512.h"

#define INLINE AVX512 PQC_INLINE

INLINE void c4_rows(const pqc_amx_panel *p, const uint8_t *x, uint8_t *to)
{
    for (const int32_t *offset = p->offset, *end = offset + p->k; offset < end; offset++, to += 64)
        _mm512_store_si512(to, _mm512_loadu_si512(x + *offset));
}

INLINE void kw4(const pqc_amx_panel *p, const uint8_t *x, uint8_t *to)
{
    kw4_spread spread = kw4_spread_of(p->stride, p->dilation);
    for (const int32_t *offset = p->offset, *end = offset + p->k; offset < end; offset++, to += 64)
        _mm512_store_si512(to, spread_kw4(_mm512_loadu_si512(x + *offset), spread));
}

/* Pixels at arbitrary places. */
INLINE void gathered(const pqc_amx_panel *p, const uint8_t *x, uint8_t *to)
{
    __m512i pixel = _mm512_loadu_si512(p->pixel);
    for (const int32_t *offset = p->offset, *end = offset + p->k; offset < end; offset++, to += 64)
        _mm512_store_si512(to, _mm512_i32gather_epi32(pixel, x + *offset, 1));
}

AVX512 void pqc_amx_gemm_panel_avx512(const pqc_amx_panel *p, const uint8_t *x, uint8_t *panel)
{
    if (p->pixel)
        gathered(p, x, panel);
    else if (p->dilation == 0)
        c4_rows(p, x, panel);
    else
        kw4(p, x, panel);
}

#endif
