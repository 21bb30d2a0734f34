/* Indirect GEMM of u8 activations with s8 weight panels, to int32 sums, with AVX-512 VNNI; see igemm_u8s8.h. */
#include "igemm_u8s8.h"

#if PQC_X86
#include "igemm_u8s8_vnni.h"
#include "requantize/requantize_avx512.h"

/* Most pixels (mr) of a body, by the vectors of its panel: at most 24 sums, 4 weights and one activation in 32
 * registers.  Of two vectors only 8, because there are not enough registers for the addresses of 12 pixels.  Panels
 * of nr = 16, packed for AMX, are multiplied by one row at a time. */
static const int max_mr[] = {1, 12, 8, 8, 6};

/* Parts of mr pixels whose results' lines are fetched before their turn, if they do not stay in L2. */
enum { FETCH_AHEAD = 1 };

/* Where sums go: unchanged to memory or, with F32, through the output stage. */
typedef struct {
    int32_t *acc;
    pqc_output_block block;
} destination;

INLINE void store_sums(const __m512i *sums, const int P, const int V, ptrdiff_t ld, int32_t *acc)
{
    PQC_UNROLL(12)
    for (int p = 0; p < P; p++) {
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            _mm512_storeu_si512(acc + p * ld + PQC_LANES * v, sums[p * V + v]);
    }
}

INLINE void store_results(const __m512i *sums, const int P, const int V, int first,
                          const pqc_output_block *b)
{
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++) {
        int at = PQC_LANES * (first + v);
        __mmask16 lanes = tail16(b->channels - at);
        output16 of = output16_of_channels(&b->to, at, lanes);
        PQC_UNROLL(12)
        for (int p = 0; p < P; p++)
            _mm512_mask_storeu_ps(b->to.y + p * b->to.pixel_stride + at, lanes,
                                  finish16(sums[p * V + v], of));
    }
}

INLINE void multiply(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                     int first, ptrdiff_t k_stride, ptrdiff_t panel_stride, const bool F32,
                     const destination *out)
{
    __m512i sums[24];
    sum_up(g, pixel, P, V, first, k_stride, panel_stride, sums);
    if (F32)
        store_results(sums, P, V, first, &out->block);
    else
        store_sums(sums, P, V, PQC_LANES * g->vectors, out->acc + PQC_LANES * first);
}

/* Multiplies panels whose last vector is half full. */
INLINE void multiply_half(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                          const bool F32, const destination *out)
{
    __m512i sums[24];
    sum_up_half(g, pixel, P, V, sums);
    if (F32)
        store_results(sums, P, V, 0, &out->block);
    else
        store_sums(sums, P, V, PQC_LANES * V, out->acc);
}

/* One pixel by panels of nr = 16; four panels are four streams of weights, read together. */
INLINE void multiply_narrow(const pqc_igemm_params *g, const int32_t *pixel, const bool F32,
                            const destination *out)
{
    if (g->vectors == PQC_NR_VECTORS) {
        multiply(g, pixel, 1, PQC_NR_VECTORS, 0, g->k_stride, g->panel_stride, F32, out);
        return;
    }
    for (int v = 0; v < g->vectors; v++)
        multiply(g, pixel, 1, 1, v, g->k_stride, g->panel_stride, F32, out);
}

/* Bodies of mr x nr.  They are functions of their own, because in a larger one GCC would keep addresses in vectors. */
typedef void body_fn(const pqc_igemm_params *g, const int32_t *pixel, const destination *out);

#define BODY(MR, NR)                                                                               \
    VNNI static void acc_##MR##x##NR(const pqc_igemm_params *g, const int32_t *pixel,              \
                                     const destination *out)                                       \
    {                                                                                              \
        multiply(g, pixel, MR, NR / PQC_LANES, 0, 4 * NR, 64, false, out);                         \
    }                                                                                              \
    VNNI static void f32_##MR##x##NR(const pqc_igemm_params *g, const int32_t *pixel,              \
                                     const destination *out)                                       \
    {                                                                                              \
        multiply(g, pixel, MR, NR / PQC_LANES, 0, 4 * NR, 64, true, out);                          \
    }

#define HALF_BODY(MR, NR)                                                                          \
    VNNI static void acc_##MR##x##NR(const pqc_igemm_params *g, const int32_t *pixel,              \
                                     const destination *out)                                       \
    {                                                                                              \
        multiply_half(g, pixel, MR, (NR + 8) / PQC_LANES, false, out);                             \
    }                                                                                              \
    VNNI static void f32_##MR##x##NR(const pqc_igemm_params *g, const int32_t *pixel,              \
                                     const destination *out)                                       \
    {                                                                                              \
        multiply_half(g, pixel, MR, (NR + 8) / PQC_LANES, true, out);                              \
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
BODY(1, 48)
BODY(2, 48)
BODY(3, 48)
BODY(4, 48)
BODY(5, 48)
BODY(6, 48)
BODY(7, 48)
BODY(8, 48)
HALF_BODY(1, 24)
HALF_BODY(2, 24)
HALF_BODY(3, 24)
HALF_BODY(4, 24)
HALF_BODY(5, 24)
HALF_BODY(6, 24)
HALF_BODY(7, 24)
HALF_BODY(8, 24)
HALF_BODY(1, 40)
HALF_BODY(2, 40)
HALF_BODY(3, 40)
HALF_BODY(4, 40)
HALF_BODY(5, 40)
HALF_BODY(6, 40)
HALF_BODY(7, 40)
HALF_BODY(8, 40)
BODY(1, 64)
BODY(2, 64)
BODY(3, 64)
BODY(4, 64)
BODY(5, 64)
BODY(6, 64)

VNNI static void acc_1xnarrow(const pqc_igemm_params *g, const int32_t *pixel,
                              const destination *out)
{
    multiply_narrow(g, pixel, false, out);
}

VNNI static void f32_1xnarrow(const pqc_igemm_params *g, const int32_t *pixel,
                              const destination *out)
{
    multiply_narrow(g, pixel, true, out);
}

/* By the panel's vectors (0 for panels of nr = 16) and by mr - 1. */
static body_fn *const acc_bodies[PQC_NR_VECTORS + 1][MAX_MR] = {
    {acc_1xnarrow},
    {acc_1x16, acc_2x16, acc_3x16, acc_4x16, acc_5x16, acc_6x16, acc_7x16, acc_8x16, acc_9x16,
     acc_10x16, acc_11x16, acc_12x16},
    {acc_1x32, acc_2x32, acc_3x32, acc_4x32, acc_5x32, acc_6x32, acc_7x32, acc_8x32},
    {acc_1x48, acc_2x48, acc_3x48, acc_4x48, acc_5x48, acc_6x48, acc_7x48, acc_8x48},
    {acc_1x64, acc_2x64, acc_3x64, acc_4x64, acc_5x64, acc_6x64}};

static body_fn *const f32_bodies[PQC_NR_VECTORS + 1][MAX_MR] = {
    {f32_1xnarrow},
    {f32_1x16, f32_2x16, f32_3x16, f32_4x16, f32_5x16, f32_6x16, f32_7x16, f32_8x16, f32_9x16,
     f32_10x16, f32_11x16, f32_12x16},
    {f32_1x32, f32_2x32, f32_3x32, f32_4x32, f32_5x32, f32_6x32, f32_7x32, f32_8x32},
    {f32_1x48, f32_2x48, f32_3x48, f32_4x48, f32_5x48, f32_6x48, f32_7x48, f32_8x48},
    {f32_1x64, f32_2x64, f32_3x64, f32_4x64, f32_5x64, f32_6x64}};

/* Two and three vectors, the last one half full. */
static body_fn *const half_acc_bodies[2][MAX_MR] = {
    {acc_1x24, acc_2x24, acc_3x24, acc_4x24, acc_5x24, acc_6x24, acc_7x24, acc_8x24},
    {acc_1x40, acc_2x40, acc_3x40, acc_4x40, acc_5x40, acc_6x40, acc_7x40, acc_8x40}};

static body_fn *const half_f32_bodies[2][MAX_MR] = {
    {f32_1x24, f32_2x24, f32_3x24, f32_4x24, f32_5x24, f32_6x24, f32_7x24, f32_8x24},
    {f32_1x40, f32_2x40, f32_3x40, f32_4x40, f32_5x40, f32_6x40, f32_7x40, f32_8x40}};

/* Vectors of a wide panel; 0 for a narrow one. */
static int panel_vectors(const pqc_igemm_params *g)
{
    return g->panel_stride == 64 && g->k_stride == 64 * g->vectors ? g->vectors : 0;
}

VNNI void pqc_igemm_u8s8_vnni(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                              int32_t *acc)
{
    int vectors = panel_vectors(g), parts = (int)pqc_div_round_up(pixels, max_mr[vectors]);
    body_fn *const *bodies =
        vectors > 1 && shares_half(g) ? half_acc_bodies[vectors - 2] : acc_bodies[vectors];
    destination out = {.acc = acc};
    pqc_igemm_params part = fetching(g);
    for (; parts > 0; parts--) { /* in parts of nearly equal size: 8 pixels are 4 + 4, not 6 + 2 */
        int mr = (pixels + parts - 1) / parts;
        bodies[mr - 1](&part, pixel, &out);
        fetch_on(&part);
        pixel += mr;
        out.acc += mr * PQC_LANES * g->vectors;
        pixels -= mr;
    }
}

/* Prefetches the lines of some pixels' results.  All at once would keep the products waiting. */
PQC_INLINE void fetch_lines(const pqc_output_block *b, int first, int stop)
{
    for (int p = first; p < stop; p++) {
        const float *y = b->to.y + p * b->to.pixel_stride;
        for (int c = 0; c < b->channels; c += PQC_LANES)
            PQC_FETCH_TO_WRITE(y + c);
        PQC_FETCH_TO_WRITE(y + b->channels - 1);
    }
}

VNNI void pqc_igemm_u8s8_f32_vnni(const pqc_igemm_params *g, const int32_t *pixel,
                                  const pqc_output_block *block)
{
    int vectors = panel_vectors(g), fetched = 0;
    int parts = (int)pqc_div_round_up(block->pixels, max_mr[vectors]);
    body_fn *const *bodies =
        vectors > 1 && shares_half(g) ? half_f32_bodies[vectors - 2] : f32_bodies[vectors];
    destination out = {.block = *block};
    pqc_igemm_params part = fetching(g);
    for (int done = 0, mr; parts > 0; parts--, done += mr) {
        mr = (block->pixels - done + parts - 1) / parts;
        if (block->is_far) {
            int next = (int)pqc_min(done + (FETCH_AHEAD + 1) * mr, block->pixels);
            fetch_lines(block, fetched, next);
            fetched = next;
        }
        bodies[mr - 1](&part, pixel + done, &out);
        fetch_on(&part);
        out.block.to.y += mr * block->to.pixel_stride;
    }
}

#endif
