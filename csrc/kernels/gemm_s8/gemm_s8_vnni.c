#include "gemm_s8.h"
#include "pqc.h"

#if PQC_X86
#include "rows_avx512.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

/* The most pixels a tile takes for 1 to 4 vectors beside each other: at most 24 sums, 4 weights and one activation in
 * 32 registers. */
static const int most_pixels[] = {0, 12, 12, 8, 6};

/* The same where only 16 channels lie beside each other: rows that come alone have them so. */
enum { MOST_APART = 1 };

INLINE __m512i quad_of(const uint8_t *x)
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
INLINE void tile_at(const pqc_gemm_s8_block *g, const int32_t *pixel, const int P, const int V,
                    int first, ptrdiff_t step, ptrdiff_t apart, int32_t *acc)
{
    const uint8_t *x[12];
    __m512i sums[24];
    ptrdiff_t ld = PQC_LANES * g->vectors;
    PQC_UNROLL(12)
    for (int p = 0; p < P; p++) {
        x[p] = g->x + pixel[p];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            sums[p * V + v] = _mm512_loadu_si512(g->start + PQC_LANES * (first + v));
    }
    const int8_t *w = g->w + first * apart;
    for (const int32_t *offset = g->offset, *end = offset + g->k; offset < end;
         offset++, w += step) {
        ptrdiff_t at = *offset;
        __m512i weights[4];
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            weights[v] = loaded_once(w + v * apart);
        PQC_UNROLL(12)
        for (int p = 0; p < P; p++) {
            __m512i quad = quad_of(x[p] + at);
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                sums[p * V + v] = _mm512_dpbusd_epi32(sums[p * V + v], quad, weights[v]);
        }
    }
    PQC_UNROLL(12)
    for (int p = 0; p < P; p++) {
        PQC_UNROLL(4)
        for (int v = 0; v < V; v++)
            _mm512_storeu_si512(acc + p * ld + PQC_LANES * (first + v), sums[p * V + v]);
    }
}

/* All channels, a step's beside each other. */
INLINE void tile(const pqc_gemm_s8_block *g, const int32_t *pixel, const int P, const int V,
                 int32_t *acc)
{
    tile_at(g, pixel, P, V, 0, 64 * V, 64, acc);
}

/* One pixel in all channels, 16 of them beside each other: of a full block four streams at a time. */
VNNI static void tile_apart(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                            int32_t *acc)
{
    (void)pixels; /* MOST_APART */
    if (g->vectors == PQC_BLOCK_VECTORS) {
        tile_at(g, pixel, 1, PQC_BLOCK_VECTORS, 0, g->step, g->apart, acc);
        return;
    }
    for (int v = 0; v < g->vectors; v++)
        tile_at(g, pixel, 1, 1, v, g->step, g->apart, acc);
}

VNNI static void tile1(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels, int32_t *acc)
{
    switch (pixels) {
    case 1:
        tile(g, pixel, 1, 1, acc);
        break;
    case 2:
        tile(g, pixel, 2, 1, acc);
        break;
    case 3:
        tile(g, pixel, 3, 1, acc);
        break;
    case 4:
        tile(g, pixel, 4, 1, acc);
        break;
    case 5:
        tile(g, pixel, 5, 1, acc);
        break;
    case 6:
        tile(g, pixel, 6, 1, acc);
        break;
    case 7:
        tile(g, pixel, 7, 1, acc);
        break;
    case 8:
        tile(g, pixel, 8, 1, acc);
        break;
    case 9:
        tile(g, pixel, 9, 1, acc);
        break;
    case 10:
        tile(g, pixel, 10, 1, acc);
        break;
    case 11:
        tile(g, pixel, 11, 1, acc);
        break;
    default:
        tile(g, pixel, 12, 1, acc);
        break;
    }
}

VNNI static void tile2(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels, int32_t *acc)
{
    switch (pixels) {
    case 1:
        tile(g, pixel, 1, 2, acc);
        break;
    case 2:
        tile(g, pixel, 2, 2, acc);
        break;
    case 3:
        tile(g, pixel, 3, 2, acc);
        break;
    case 4:
        tile(g, pixel, 4, 2, acc);
        break;
    case 5:
        tile(g, pixel, 5, 2, acc);
        break;
    case 6:
        tile(g, pixel, 6, 2, acc);
        break;
    case 7:
        tile(g, pixel, 7, 2, acc);
        break;
    case 8:
        tile(g, pixel, 8, 2, acc);
        break;
    case 9:
        tile(g, pixel, 9, 2, acc);
        break;
    case 10:
        tile(g, pixel, 10, 2, acc);
        break;
    case 11:
        tile(g, pixel, 11, 2, acc);
        break;
    default:
        tile(g, pixel, 12, 2, acc);
        break;
    }
}

VNNI static void tile3(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels, int32_t *acc)
{
    switch (pixels) {
    case 1:
        tile(g, pixel, 1, 3, acc);
        break;
    case 2:
        tile(g, pixel, 2, 3, acc);
        break;
    case 3:
        tile(g, pixel, 3, 3, acc);
        break;
    case 4:
        tile(g, pixel, 4, 3, acc);
        break;
    case 5:
        tile(g, pixel, 5, 3, acc);
        break;
    case 6:
        tile(g, pixel, 6, 3, acc);
        break;
    case 7:
        tile(g, pixel, 7, 3, acc);
        break;
    default:
        tile(g, pixel, 8, 3, acc);
        break;
    }
}

VNNI static void tile4(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels, int32_t *acc)
{
    switch (pixels) {
    case 1:
        tile(g, pixel, 1, 4, acc);
        break;
    case 2:
        tile(g, pixel, 2, 4, acc);
        break;
    case 3:
        tile(g, pixel, 3, 4, acc);
        break;
    case 4:
        tile(g, pixel, 4, 4, acc);
        break;
    case 5:
        tile(g, pixel, 5, 4, acc);
        break;
    default:
        tile(g, pixel, 6, 4, acc);
        break;
    }
}

static bool are_together(const pqc_gemm_s8_block *g)
{
    return g->apart == 64 && g->step == 64 * g->vectors;
}

static pqc_gemm_s8_fn *tile_of(const pqc_gemm_s8_block *g)
{
    static pqc_gemm_s8_fn *const tiles[] = {NULL, tile1, tile2, tile3, tile4};
    return are_together(g) ? tiles[g->vectors] : tile_apart;
}

static int most_rows(const pqc_gemm_s8_block *g)
{
    return are_together(g) ? most_pixels[g->vectors] : MOST_APART;
}

VNNI void pqc_gemm_s8_vnni(const pqc_gemm_s8_block *g, const int32_t *pixel, int pixels,
                           int32_t *acc)
{
    int most = most_rows(g), parts = (int)pqc_divided_up(pixels, most);
    while (parts > 0) { /* parts of nearly equal size: 8 pixels are 4 + 4, not 6 + 2 */
        int part = (pixels + parts - 1) / parts;
        tile_of(g)(g, pixel, part, acc);
        pixel += part;
        acc += part * PQC_LANES * g->vectors;
        pixels -= part;
        parts--;
    }
}

/* A tile, and its results while they are in the first cache: their way to memory and the next products take the same time.
 * (With the conversion in the tile itself GCC would keep the sums in memory.) */
VNNI void pqc_gemm_rows_vnni(const pqc_gemm_s8_block *g, const int32_t *pixel, const pqc_rows *to)
{
    _Alignas(64) int32_t acc[24 * PQC_LANES];
    int most = most_rows(g), parts = (int)pqc_divided_up(to->rows, most);
    for (pqc_rows left = *to; parts > 0; parts--) {
        int part = (left.rows + parts - 1) / parts;
        tile_of(g)(g, pixel, part, acc);
        put_rows(acc, PQC_LANES * g->vectors, part, &left);
        pixel += part;
        left.y += part * left.stride;
        left.rows -= part;
    }
}

#endif
