#include "igemm_u8s8.h"

#if PQC_X86
#include "finish_nhwc/finish_nhwc_plain_avx512.h"
#include "igemm_u8s8_vnni.h"

/* By the panel's vectors less 1: at most 24 sums. */
static const int max_mr[PQC_NR_VECTORS] = {12, 12, 8, 6};

typedef struct {
    const pqc_output *f;
    finish_target bytes;
    __mmask64 lanes;
    char *at;
    const int32_t *place;
} destination;

/* As many pixels at a time as fill a vector of codes; the last ones are computed more than once rather than apart. */
INLINE void store_codes(const __m512i *sums, const int P, const int V, const destination *to)
{
    const int together = V == 1 ? 4 : V == 2 ? 2 : 1;
    output16 of[4];
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++)
        of[v] = output16_load(to->f->scale + 16 * v, to->f->bias + 16 * v,
                              (__mmask16)(to->lanes >> 16 * v));
    PQC_UNROLL(12)
    for (int p = 0; p < P; p += together) {
        __m512 y[4];
        char *at[4];
        y[3] = _mm512_setzero_ps(); /* of three vectors */
        PQC_UNROLL(4)
        for (int i = 0; i < together; i++) {
            const int pixel = p + i < P ? p + i : P - 1;
            at[i] = to->at + to->place[pixel];
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                y[i * V + v] = finish16(sums[pixel * V + v], of[v]);
        }
        if (to->f->hard_swish)
            finish_plain_hard_swish(y);
        finish_plain_bytes(y, together, to->lanes, &to->bytes, at);
    }
}

INLINE void multiply(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                     const destination *to)
{
    __m512i sums[24];
    sum_up(g, pixel, P, V, 0, 4 * PQC_LANES * V, 4 * PQC_LANES, sums);
    store_codes(sums, P, V, to);
}

/* Bodies of mr x nr, functions of their own: in a larger one addresses would be kept in vectors. */
typedef void body_fn(const pqc_igemm_params *g, const int32_t *pixel, const destination *to);

#define BODY(MR, NR)                                                                               \
    VNNI static void codes_##MR##x##NR(const pqc_igemm_params *g, const int32_t *pixel,            \
                                       const destination *to)                                      \
    {                                                                                              \
        multiply(g, pixel, MR, NR / PQC_LANES, to);                                                \
    }

BODY(1, 16)
BODY(2, 16)
BODY(3, 16)
BODY(4, 16)
BODY(5, 16)
BODY(6, 16)
BODY(7, 16)
BODY(8, 16)
BODY(9, 16)
BODY(10, 16)
BODY(11, 16)
BODY(12, 16)
BODY(1, 32)
BODY(2, 32)
BODY(3, 32)
BODY(4, 32)
BODY(5, 32)
BODY(6, 32)
BODY(7, 32)
BODY(8, 32)
BODY(9, 32)
BODY(10, 32)
BODY(11, 32)
BODY(12, 32)
BODY(1, 48)
BODY(2, 48)
BODY(3, 48)
BODY(4, 48)
BODY(5, 48)
BODY(6, 48)
BODY(7, 48)
BODY(8, 48)
BODY(1, 64)
BODY(2, 64)
BODY(3, 64)
BODY(4, 64)
BODY(5, 64)
BODY(6, 64)

static body_fn *const bodies[PQC_NR_VECTORS][MAX_MR] = {
    {codes_1x16, codes_2x16, codes_3x16, codes_4x16, codes_5x16, codes_6x16, codes_7x16, codes_8x16,
     codes_9x16, codes_10x16, codes_11x16, codes_12x16},
    {codes_1x32, codes_2x32, codes_3x32, codes_4x32, codes_5x32, codes_6x32, codes_7x32, codes_8x32,
     codes_9x32, codes_10x32, codes_11x32, codes_12x32},
    {codes_1x48, codes_2x48, codes_3x48, codes_4x48, codes_5x48, codes_6x48, codes_7x48,
     codes_8x48},
    {codes_1x64, codes_2x64, codes_3x64, codes_4x64, codes_5x64, codes_6x64}};

VNNI void pqc_igemm_u8s8_codes_vnni(const pqc_igemm_params *g, const int32_t *pixel,
                                    const int32_t *place, int pixels, int channels,
                                    const pqc_output *f)
{
    const pqc_pixels *codes = &f->output[0];
    destination to = {.f = f,
                      .bytes = {.mul = _mm512_set1_ps(codes->mul),
                                .zero = codes->zero,
                                .least = (int32_t)codes->lo + codes->zero,
                                .most = (int32_t)codes->hi + codes->zero},
                      .lanes = finish_lanes(channels),
                      .at = codes->at,
                      .place = place};
    pqc_igemm_params part = fetching(g);
    int parts = (int)pqc_div_round_up(pixels, max_mr[g->vectors - 1]);
    for (; parts > 0; parts--) { /* parts of nearly equal size */
        int mr = (pixels + parts - 1) / parts;
        bodies[g->vectors - 1][mr - 1](&part, pixel, &to);
        fetch_on(&part);
        pixel += mr;
        to.place += mr;
        pixels -= mr;
    }
}

#endif
