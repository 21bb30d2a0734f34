#include "igemm_u8s8.h"
#include "pqc.h"

#if PQC_X86
#include "avx512.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

/* Where only 16 channels are neighbours: weights packed for AMX, of which one row is wanted. */
enum { MAX_MR_NARROW = 1 };

/* The most pixels a tile takes for 1 to 4 vectors beside each other: at most 24 sums, 4 weights and one activation in
 * 32 registers. */
static const int most_pixels[] = {MAX_MR_NARROW, 12, 12, 8, 6};

INLINE __m512i broadcast_c4(const uint8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, 4);
    return _mm512_set1_epi32(bytes);
}

/* Else GCC loads a vector of weights again for each pixel, which takes longer than the products. */
INLINE __m512i loaded_once(const int8_t *w)
{
    __m512i weights = _mm512_loadu_si512(w);
    PQC_KEEP_IN_REGISTER(weights);
    return weights;
}

/* P pixels by the V vectors of 16 channels from `first` on; P and V are constants where this is inlined, and so are step and
 * apart where they can be: registers are short. */
INLINE void sum_up(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                   int first, ptrdiff_t k_stride, ptrdiff_t panel_stride, __m512i *sums)
{
    const uint8_t *x[12];
    PQC_UNROLL(12)
    for (int p = 0; p < P; p++) {
        x[p] = g->x + pixel[p];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            sums[p * V + v] = _mm512_loadu_si512(g->compensation + PQC_LANES * (first + v));
    }
    const int8_t *w = g->w + first * panel_stride;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, w += k_stride) {
        ptrdiff_t at = *offset;
        __m512i weights[4];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            weights[v] = loaded_once(w + v * panel_stride);
        PQC_UNROLL(12)
        for (int p = 0; p < P; p++) {
            __m512i c4 = broadcast_c4(x[p] + at);
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                sums[p * V + v] = _mm512_dpbusd_epi32(sums[p * V + v], c4, weights[v]);
        }
    }
    /* Else GCC would keep them in memory, because of what follows. */
    PQC_UNROLL(24)
    for (int i = 0; i < P * V; i++)
        PQC_KEEP_IN_REGISTER(sums[i]);
}

/* Where sums go: as they are or, with ROWS, as results. */
typedef struct {
    int32_t *acc;
    pqc_rows to;
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
                          const pqc_rows *to)
{
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++) {
        int at = PQC_LANES * (first + v);
        __mmask16 lanes = tail16(to->channels - at);
        __m512 scale = _mm512_maskz_loadu_ps(lanes, to->scale + at);
        __m512 bias = _mm512_maskz_loadu_ps(lanes, to->bias + at);
        PQC_UNROLL(12)
        for (int p = 0; p < P; p++)
            _mm512_mask_storeu_ps(
                to->y + p * to->stride + at, lanes,
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[p * V + v]), scale, bias));
    }
}

INLINE void tile_at(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                    int first, ptrdiff_t k_stride, ptrdiff_t panel_stride, const bool ROWS,
                    const destination *out)
{
    __m512i sums[24];
    sum_up(g, pixel, P, V, first, k_stride, panel_stride, sums);
    if (ROWS)
        store_results(sums, P, V, first, &out->to);
    else
        store_sums(sums, P, V, PQC_LANES * g->vectors, out->acc + PQC_LANES * first);
}

/* All channels, a kr group's beside each other. */
INLINE void tile_beside(const pqc_igemm_params *g, const int32_t *pixel, const int P, const int V,
                        const bool ROWS, const destination *out)
{
    tile_at(g, pixel, P, V, 0, 64 * V, 64, ROWS, out);
}

/* One pixel in all channels, 16 of them beside each other: of a full block four streams at a time. */
INLINE void tile_apart(const pqc_igemm_params *g, const int32_t *pixel, const bool ROWS,
                       const destination *out)
{
    if (g->vectors == PQC_NR_VECTORS) {
        tile_at(g, pixel, MAX_MR_NARROW, PQC_NR_VECTORS, 0, g->k_stride, g->panel_stride, ROWS,
                out);
        return;
    }
    for (int v = 0; v < g->vectors; v++)
        tile_at(g, pixel, MAX_MR_NARROW, 1, v, g->k_stride, g->panel_stride, ROWS, out);
}

/* At most most_pixels[V]. */
INLINE void pixels_beside(const pqc_igemm_params *g, const int32_t *pixel, int pixels, const int V,
                          const bool ROWS, const destination *out)
{
    if (V <= 2 && pixels == 12)
        tile_beside(g, pixel, 12, V, ROWS, out);
    else if (V <= 2 && pixels == 11)
        tile_beside(g, pixel, 11, V, ROWS, out);
    else if (V <= 2 && pixels == 10)
        tile_beside(g, pixel, 10, V, ROWS, out);
    else if (V <= 2 && pixels == 9)
        tile_beside(g, pixel, 9, V, ROWS, out);
    else if (V <= 3 && pixels == 8)
        tile_beside(g, pixel, 8, V, ROWS, out);
    else if (V <= 3 && pixels == 7)
        tile_beside(g, pixel, 7, V, ROWS, out);
    else if (pixels == 6)
        tile_beside(g, pixel, 6, V, ROWS, out);
    else if (pixels == 5)
        tile_beside(g, pixel, 5, V, ROWS, out);
    else if (pixels == 4)
        tile_beside(g, pixel, 4, V, ROWS, out);
    else if (pixels == 3)
        tile_beside(g, pixel, 3, V, ROWS, out);
    else if (pixels == 2)
        tile_beside(g, pixel, 2, V, ROWS, out);
    else
        tile_beside(g, pixel, 1, V, ROWS, out);
}

/* Functions of their own: in a larger one addresses would be kept in vectors. */
typedef void tile_fn(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                     const destination *out);

#define TILE(name, V, ROWS)                                                                        \
    VNNI static void name(const pqc_igemm_params *g, const int32_t *pixel, int pixels,             \
                          const destination *out)                                                  \
    {                                                                                              \
        if (V != 0)                                                                                \
            pixels_beside(g, pixel, pixels, V, ROWS, out);                                         \
        else                                                                                       \
            tile_apart(g, pixel, ROWS, out);                                                       \
    }

TILE(sums_apart, 0, false)
TILE(sums1, 1, false)
TILE(sums2, 2, false)
TILE(sums3, 3, false)
TILE(sums4, 4, false)
TILE(rows_apart, 0, true)
TILE(rows1, 1, true)
TILE(rows2, 2, true)
TILE(rows3, 3, true)
TILE(rows4, 4, true)

/* By the vectors beside each other, 0 where 16 channels are apart. */
static tile_fn *const tiles[2][PQC_NR_VECTORS + 1] = {{sums_apart, sums1, sums2, sums3, sums4},
                                                      {rows_apart, rows1, rows2, rows3, rows4}};

static int vectors_beside(const pqc_igemm_params *g)
{
    return g->panel_stride == 64 && g->k_stride == 64 * g->vectors ? g->vectors : 0;
}

VNNI void pqc_igemm_u8s8_vnni(const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                              int32_t *acc)
{
    int beside = vectors_beside(g), parts = (int)pqc_div_round_up(pixels, most_pixels[beside]);
    destination out = {.acc = acc};
    for (; parts > 0; parts--) { /* parts of nearly equal size: 8 pixels are 4 + 4, not 6 + 2 */
        int part = (pixels + parts - 1) / parts;
        tiles[false][beside](g, pixel, part, &out);
        pixel += part;
        out.acc += part * PQC_LANES * g->vectors;
        pixels -= part;
    }
}

VNNI void pqc_igemm_u8s8_f32_vnni(const pqc_igemm_params *g, const int32_t *pixel,
                                  const pqc_rows *to)
{
    int beside = vectors_beside(g), parts = (int)pqc_div_round_up(to->rows, most_pixels[beside]);
    destination out = {.to = *to};
    for (; parts > 0; parts--) {
        int part = (out.to.rows + parts - 1) / parts;
        tiles[true][beside](g, pixel, part, &out);
        pixel += part;
        out.to.y += part * out.to.stride;
        out.to.rows -= part;
    }
}

#endif
