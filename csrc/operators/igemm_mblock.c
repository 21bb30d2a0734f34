#include "igemm_mblock.h"

#include "dispatch.h"
#include "igemm_u8s8/igemm_u8s8.h"

#include <float.h>
#include <math.h>
#include <string.h>

bool pqc_conv_scale_is_safe(const pqc_conv_plan *plan, float div)
{
    double inverse = 1.0 / (double)div;
    return inverse * plan->least >= FLT_MIN && inverse * plan->most <= FLT_MAX;
}

void pqc_conv_scales(const pqc_conv_plan *plan, const pqc_conv_call *call, float *scale,
                     float *bias)
{
    ptrdiff_t channels = plan->shape.groups * plan->shape.out;
    double inverse = 1.0 / (double)call->div;
    for (ptrdiff_t c = 0; c < channels; c++)
        scale[c] = (float)(inverse * plan->inverse[c]);
    if (call->bias)
        memcpy(bias, call->bias, (size_t)channels * sizeof *bias);
    else
        memset(bias, 0, (size_t)channels * sizeof *bias);
}

int pqc_conv_tile_channels(const pqc_conv_tile *tile)
{
    ptrdiff_t left = tile->plan->shape.out - PQC_BLOCK_CHANNELS * tile->block;
    return left < PQC_BLOCK_CHANNELS ? (int)left : PQC_BLOCK_CHANNELS;
}

/* The steps of one chunk. */
static pqc_gemm_s8_block chunk_of(const pqc_conv_tile *tile, ptrdiff_t chunk)
{
    const pqc_conv_piece *piece = tile->piece;
    ptrdiff_t lanes = tile->plan->lanes, first = chunk * PQC_CHUNK, left = piece->k - first;
    ptrdiff_t sums =
        (tile->group * piece->chunks + chunk) * lanes + PQC_BLOCK_CHANNELS * tile->block;
    int vectors = pqc_conv_block_vectors(tile->plan, tile->block);
    bool narrow = tile->plan->shape.unit != NULL;
    ptrdiff_t step = 4 * PQC_LANES * (narrow ? 1 : vectors);
    return (pqc_gemm_s8_block){
        .x = tile->x,
        .offset = tile->offset + first,
        .k = left < PQC_CHUNK ? left : PQC_CHUNK,
        .w = piece->w + (tile->group * lanes + PQC_BLOCK_CHANNELS * tile->block) * piece->k * 4 +
             first * step,
        .step = step,
        .apart = narrow ? 4 * PQC_LANES * piece->k : 4 * PQC_LANES,
        .start = tile->has_zero ? piece->start + sums : tile->plan->zeros,
        .sum = piece->sum + sums,
        .vectors = vectors,
        .lowest = tile->plan->lowest,
    };
}

pqc_gemm_s8_block pqc_conv_tile_products(const pqc_conv_tile *tile)
{
    pqc_gemm_s8_block g = chunk_of(tile, 0);
    if (tile->steps) {
        g.offset += tile->steps->first;
        g.w += tile->steps->first * g.step;
        g.k = tile->steps->k;
        g.start = tile->steps->start;
        g.sum = tile->steps->sum;
    }
    return g;
}

/* More products than 32 bits can sum: the chunks are added in 64 bits. */
static void run_chunks(const pqc_conv_tile *tile, int32_t *acc, bool rows, float *y,
                       ptrdiff_t stride)
{
    int64_t total[PQC_MOST_TILE * PQC_BLOCK_CHANNELS] = {0};
    ptrdiff_t lanes = PQC_LANES * pqc_conv_block_vectors(tile->plan, tile->block);
    for (ptrdiff_t chunk = 0; chunk < tile->piece->chunks; chunk++) {
        pqc_gemm_s8_block g = chunk_of(tile, chunk);
        pqc.gemm_s8(&g, tile->pixel, tile->pixels, acc);
        for (ptrdiff_t i = 0; i < tile->pixels * lanes; i++)
            total[i] += acc[i];
    }
    for (int p = 0; p < tile->pixels; p++)
        for (int c = 0; c < pqc_conv_tile_channels(tile); c++)
            y[rows ? p * stride + c : c * stride + p] =
                fmaf((float)total[p * lanes + c], tile->scale[c], tile->bias[c]);
}

/* Where results go, which takes less than the products.  Inline: to GCC a function that only fetches does nothing, and its
 * calls may be left out. */
PQC_INLINE void fetch_places(const pqc_conv_tile *tile, bool rows, const float *y, ptrdiff_t stride)
{
    int channels = pqc_conv_tile_channels(tile), lines = rows ? tile->pixels : channels;
    int length = rows ? channels : tile->pixels;
    for (int i = 0; i < lines; i++, y += stride)
        for (int j = 0; j < length; j += 16)
            PQC_FETCH_TO_WRITE(y + j);
}

void pqc_conv_tile_run(const pqc_conv_tile *tile, bool rows, float *y, ptrdiff_t stride)
{
    _Alignas(64) int32_t acc[PQC_MOST_TILE * PQC_BLOCK_CHANNELS];
    if (tile->fetch)
        fetch_places(tile, rows, y, stride);
    if (tile->piece->chunks > 1) {
        run_chunks(tile, acc, rows, y, stride);
        return;
    }
    pqc_gemm_s8_block g = pqc_conv_tile_products(tile);
    pqc_rows to = {tile->scale, tile->bias, y, stride, tile->pixels, pqc_conv_tile_channels(tile)};
    pqc_gemm_rows_fn *gemm_rows = pqc.gemm_rows;
    if (rows && gemm_rows) {
        gemm_rows(&g, tile->pixel, &to);
        return;
    }
    pqc.gemm_s8(&g, tile->pixel, tile->pixels, acc);
    (rows ? pqc.dequantize_rows
          : pqc.dequantize_columns)((pqc_sums){acc, PQC_LANES * g.vectors, to.rows, to.channels},
                                    tile->scale, tile->bias, y, stride);
}
