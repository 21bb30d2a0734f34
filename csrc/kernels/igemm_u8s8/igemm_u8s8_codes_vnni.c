/* Indirect GEMM of u8 x s8 whose sums become codes while they are in registers, with AVX-512 VNNI; see igemm_u8s8.h. */
#include "igemm_u8s8.h"

#if PQC_X86
#include "finish_nhwc/finish_nhwc_swish_avx512.h"
#include "igemm_u8s8_residual_vnni.h"

/* Most pixels, by the panel's vectors less 1: at most 24 sums.  Of two vectors only 16: with more, the output stage
 * fills the queues before the next products, and short sums take a sixth longer. */
static const int max_mr[PQC_NR_VECTORS] = {12, 8, 8, 6};

typedef struct {
    const pqc_output *f;
    finish_target codes;
    finish_swish quick; /* used if `swish` */
    __mmask64 lanes;
    bool raw, swish; /* as finish_raw_bytes, and as finish_swish_packed makes them */
    const int32_t *place;
} destination;

/* As many pixels at a time as fill a vector of bytes; the last step overlaps the one before. */
INLINE void store_codes(const __m512i *sums, const int P, const int V, const bool WORDS,
                        const bool RAW, const destination *to)
{
    const int together = V == 1 ? 4 : V == 2 ? 2 : 1;
    const __m512 mul = to->codes.mul;
    const __mmask64 lanes = to->lanes;
    char *const base = to->codes.row.at;
    const int32_t *const place = to->place;
    output16 of[4];
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++)
        of[v] = output16_load(to->f->scale + 16 * v, to->f->bias + 16 * v,
                              (__mmask16)(lanes >> 16 * v));
    PQC_UNROLL(12)
    for (int p = 0; p < P; p += together) {
        __m512 y[4];
        char *at[4];
        PQC_UNROLL(4)
        for (int i = 0; i < together; i++) {
            const int pixel = p + i < P ? p + i : P - 1;
            at[i] = base + place[pixel];
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                y[i * V + v] = finish16(sums[pixel * V + v], of[v]);
        }
        if (V == 3)
            y[3] = y[0];
        if (!RAW && !WORDS && to->swish) {
            finish_store_plain_bytes(finish_swish_packed(y, &to->quick, &to->codes), together,
                                     lanes, at);
            continue;
        }
        if (!RAW && to->f->hard_swish)
            finish_plain_hard_swish(y);
        if (!RAW && to->f->affine.there)
            finish_affine(y, 4, &to->f->affine);
        if (RAW)
            finish_raw_bytes(y, together, lanes, mul, at);
        else if (WORDS)
            finish_plain_words(y, together, V, lanes, &to->codes, at);
        else
            finish_plain_bytes(y, together, lanes, &to->codes, at);
    }
}

INLINE void multiply(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                     const bool HALF, const bool WORDS, const destination *to)
{
    __m512i sums[24];
    if (HALF)
        sum_up_half(g, pixel, P, V, sums);
    else
        sum_up(g, pixel, P, V, 0, 4 * PQC_LANES * V, 4 * PQC_LANES, sums);
    if (!WORDS && to->raw)
        store_codes(sums, P, V, false, true, to);
    else
        store_codes(sums, P, V, WORDS, false, to);
}

/* Bodies of mr x nr.  They are functions of their own, because in a larger one GCC would keep addresses in vectors. */
typedef void body_fn(const pqc_igemm_params *g, const int32_t *pixel, const destination *to);

#define BODY(MR, NR, NAME, WORDS)                                                                  \
    VNNI static void NAME##_##MR##x##NR(const pqc_igemm_params *g, const int32_t *pixel,           \
                                        const destination *to)                                     \
    {                                                                                              \
        multiply(g, pixel, MR, (NR + PQC_LANES - 1) / PQC_LANES, NR % PQC_LANES != 0, WORDS, to);  \
    }

BODY(1, 16, bytes, false)
BODY(2, 16, bytes, false)
BODY(3, 16, bytes, false)
BODY(4, 16, bytes, false)
BODY(5, 16, bytes, false)
BODY(6, 16, bytes, false)
BODY(7, 16, bytes, false)
BODY(8, 16, bytes, false)
BODY(9, 16, bytes, false)
BODY(10, 16, bytes, false)
BODY(11, 16, bytes, false)
BODY(12, 16, bytes, false)
BODY(1, 32, bytes, false)
BODY(2, 32, bytes, false)
BODY(3, 32, bytes, false)
BODY(4, 32, bytes, false)
BODY(5, 32, bytes, false)
BODY(6, 32, bytes, false)
BODY(7, 32, bytes, false)
BODY(8, 32, bytes, false)
BODY(1, 48, bytes, false)
BODY(2, 48, bytes, false)
BODY(3, 48, bytes, false)
BODY(4, 48, bytes, false)
BODY(5, 48, bytes, false)
BODY(6, 48, bytes, false)
BODY(7, 48, bytes, false)
BODY(8, 48, bytes, false)
BODY(1, 24, bytes, false)
BODY(2, 24, bytes, false)
BODY(3, 24, bytes, false)
BODY(4, 24, bytes, false)
BODY(5, 24, bytes, false)
BODY(6, 24, bytes, false)
BODY(7, 24, bytes, false)
BODY(8, 24, bytes, false)
BODY(1, 40, bytes, false)
BODY(2, 40, bytes, false)
BODY(3, 40, bytes, false)
BODY(4, 40, bytes, false)
BODY(5, 40, bytes, false)
BODY(6, 40, bytes, false)
BODY(7, 40, bytes, false)
BODY(8, 40, bytes, false)
BODY(1, 64, bytes, false)
BODY(2, 64, bytes, false)
BODY(3, 64, bytes, false)
BODY(4, 64, bytes, false)
BODY(5, 64, bytes, false)
BODY(6, 64, bytes, false)
BODY(1, 64, words, true)
BODY(2, 64, words, true)
BODY(3, 64, words, true)
BODY(4, 64, words, true)
BODY(5, 64, words, true)
BODY(6, 64, words, true)

static body_fn *const bytes_bodies[PQC_NR_VECTORS][MAX_MR] = {
    {bytes_1x16, bytes_2x16, bytes_3x16, bytes_4x16, bytes_5x16, bytes_6x16, bytes_7x16, bytes_8x16,
     bytes_9x16, bytes_10x16, bytes_11x16, bytes_12x16},
    {bytes_1x32, bytes_2x32, bytes_3x32, bytes_4x32, bytes_5x32, bytes_6x32, bytes_7x32,
     bytes_8x32},
    {bytes_1x48, bytes_2x48, bytes_3x48, bytes_4x48, bytes_5x48, bytes_6x48, bytes_7x48,
     bytes_8x48},
    {bytes_1x64, bytes_2x64, bytes_3x64, bytes_4x64, bytes_5x64, bytes_6x64}};

/* Two and three vectors, the last one half full. */
static body_fn *const half_bodies[2][MAX_MR] = {{bytes_1x24, bytes_2x24, bytes_3x24, bytes_4x24,
                                                 bytes_5x24, bytes_6x24, bytes_7x24, bytes_8x24},
                                                {bytes_1x40, bytes_2x40, bytes_3x40, bytes_4x40,
                                                 bytes_5x40, bytes_6x40, bytes_7x40, bytes_8x40}};

/* Words exist only for the widest panels: the sums of narrower ones usually have many products. */
static body_fn *const words_bodies[] = {words_1x64, words_2x64, words_3x64,
                                        words_4x64, words_5x64, words_6x64};

VNNI bool pqc_igemm_u8s8_codes_vnni(const pqc_igemm_params *g, const int32_t *pixel,
                                    const pqc_code_places *places, int pixels, int channels,
                                    const pqc_output *f)
{
    if (f->residual.content != PQC_NOTHING)
        return pqc_igemm_u8s8_residual_vnni(g, pixel, places, pixels, channels, f);
    bool words = f->output[0].content == PQC_S16_CODES;
    if (f->outputs > 1 || (words && g->vectors != PQC_NR_VECTORS))
        return false;
    body_fn *const *bodies = words            ? words_bodies
                             : shares_half(g) ? half_bodies[g->vectors - 2]
                                              : bytes_bodies[g->vectors - 1];
    finish_pixels first = {.acc = NULL};
    destination to = {.f = f,
                      .codes = finish_target_of(&first, f, f->output[0].content),
                      .lanes = finish_lanes(channels),
                      .place = places->output[0]};
    to.swish = f->known & PQC_SWISH;
    if (to.swish)
        to.quick = finish_swish_of(f);
    to.raw = !f->hard_swish && !f->affine.there && finish_is_raw(&to.codes);
    pqc_igemm_params part = fetching(g);
    int parts = (int)pqc_div_round_up(pixels, max_mr[g->vectors - 1]);
    for (; parts > 0; parts--) { /* in parts of nearly equal size */
        int mr = (pixels + parts - 1) / parts;
        bodies[mr - 1](&part, pixel, &to);
        fetch_on(&part);
        pixel += mr;
        to.place += mr;
        pixels -= mr;
    }
    return true;
}

#endif
