#include "plain_amx.h"

#include "check.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

static atomic_uint ways;

/* What this thread said when it began. */
static _Thread_local struct {
    bool is;
    ptrdiff_t k;
    int a_rows;
} begun;

unsigned plain_amx_ways(void)
{
    return atomic_exchange(&ways, 0);
}

static void begin(ptrdiff_t k, int a_rows)
{
    CHECK(!begun.is && a_rows >= 1 && a_rows <= PQC_AMX_SIDE, "k %td, %d a_rows", k, a_rows);
    begun.is = true;
    begun.k = k;
    begun.a_rows = a_rows;
}

static void end(void)
{
    CHECK(begun.is, "an end without a beginning");
    begun.is = false;
}

/* The four bytes of a row, or of a channel, in a step: in blocks of 16, then groups of 16 steps. */
static ptrdiff_t place_of(ptrdiff_t row, ptrdiff_t step, ptrdiff_t k)
{
    ptrdiff_t group = row / PQC_AMX_SIDE * pqc_div_round_up(k, PQC_AMX_SIDE) + step / PQC_AMX_SIDE;
    return PQC_AMX_TILE_BYTES * group + 64 * (row % PQC_AMX_SIDE) + 4 * (step % PQC_AMX_SIDE);
}

static uint32_t products(const uint8_t *x, const int8_t *w)
{
    return (uint32_t)(x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3]);
}

static const uint8_t *step_of(const pqc_amx_pixels *pixels, ptrdiff_t step)
{
    ptrdiff_t in_group = step % PQC_AMX_SIDE;
    return pixels->offset
               ? pixels->x + pixels->offset[step - in_group] + in_group * pixels->k_stride
               : pixels->x + 64 * step;
}

/* All of a tile's pixels, wanted or not, as the hardware takes them. */
static void gemm_nchw(const int8_t *w, int blocks, const pqc_amx_pixels *pixels, ptrdiff_t k,
                      int32_t *sums)
{
    bool straight = pixels->offset != NULL;
    CHECK(begun.is && begun.k == k && begun.a_rows == PQC_AMX_SIDE, "k %td, begun with %td, %d", k,
          begun.k, begun.a_rows);
    CHECK(!straight || k % PQC_AMX_SIDE == 0, "k %td, straight from an image", k);
    CHECK((blocks == 1 || blocks == 2) && (pixels->blocks == 1 || pixels->blocks == 2),
          "%d blocks by %d", blocks, pixels->blocks);
    atomic_fetch_or(&ways, straight ? PLAIN_STRAIGHT : 0);
    for (ptrdiff_t c = 0; c < PQC_AMX_SIDE * blocks; c++, sums += PQC_AMX_SUMS_STRIDE)
        for (int block = 0; block < pixels->blocks; block++) {
            uint32_t sum[PQC_AMX_SIDE] = {0};
            for (ptrdiff_t j = 0; j < k; j++) {
                const uint8_t *x = step_of(pixels, j) + block * pixels->block_stride;
                for (ptrdiff_t p = 0; p < PQC_AMX_SIDE; p++)
                    sum[p] += products(x + 4 * p, w + place_of(c, j, k));
            }
            memcpy(sums + PQC_AMX_SIDE * block, sum, sizeof sum);
        }
}

static void flush(pqc_amx_pending *pending)
{
    const pqc_output_block *b = &pending->block;
    for (ptrdiff_t row = 0; row < b->pixels; row++)
        for (ptrdiff_t c = 0; c < b->channels; c++)
            b->to.y[row * b->to.pixel_stride + c] =
                fmaf((float)pending->sums[pending->turn][row * pending->ld + c], b->to.scale[c],
                     b->to.bias[c]);
    pending->block.pixels = 0;
}

static int32_t row_sum(const pqc_igemm_params *g, const uint8_t *x, ptrdiff_t row, ptrdiff_t c)
{
    const int8_t *w = g->w + c / PQC_LANES * g->panel_stride + c % PQC_LANES * 4;
    uint32_t sum = (uint32_t)g->compensation[c];
    for (ptrdiff_t j = 0; j < g->k; j++)
        sum += products(x + place_of(row, j, g->k), w + 64 * j);
    return (int32_t)sum;
}

/* A block of rows at a time, by all channels; the last one's results are pending. */
static void gemm_nhwc(const pqc_igemm_params *g, const uint8_t *x, const pqc_output_block *block,
                      pqc_amx_pending *pending)
{
    CHECK(begun.is && begun.k == g->k, "k %td, begun with %td", g->k, begun.k);
    CHECK(begun.a_rows == PQC_AMX_SIDE || block->pixels <= begun.a_rows, "%d rows, begun with %d",
          block->pixels, begun.a_rows);
    CHECK(g->k_stride == 64, "weights %td bytes apart", g->k_stride);
    atomic_fetch_or(&ways, PLAIN_ROWS);
    for (int first = 0; first < block->pixels; first += PQC_AMX_SIDE) {
        flush(pending);
        pending->turn = !pending->turn;
        pending->ld = PQC_LANES * g->vectors;
        pending->block = *block;
        pending->block.pixels = (int)pqc_min(block->pixels - first, PQC_AMX_SIDE);
        pending->block.to.y += first * block->to.pixel_stride;
        int32_t *sums = pending->sums[pending->turn];
        for (ptrdiff_t row = 0; row < begun.a_rows; row++)
            for (ptrdiff_t c = 0; c < pending->ld; c++)
                sums[row * pending->ld + c] = row_sum(g, x, first + row, c);
    }
}

static void panel(const pqc_amx_panel *p, const uint8_t *x, uint8_t *to)
{
    atomic_fetch_or(&ways, p->pixel ? PLAIN_GATHERED : p->dilation == 0 ? PLAIN_C4 : PLAIN_KW4);
    for (ptrdiff_t j = 0; j < p->k; j++)
        for (ptrdiff_t pixel = 0; pixel < PQC_AMX_SIDE; pixel++)
            for (ptrdiff_t i = 0; i < 4; i++) {
                ptrdiff_t at = p->pixel           ? p->pixel[pixel] + i
                               : p->dilation == 0 ? 4 * pixel + i
                                                  : pixel * p->stride + i * p->dilation;
                *to++ = x[p->offset[j] + at];
            }
}

static void store(const pqc_amx_store *s, const int32_t *sums, int channels)
{
    const pqc_output_f32 *to = &s->to;
    atomic_fetch_or(&ways, to->pixel_stride != 1 ? PLAIN_SCATTERED : 0);
    CHECK(channels >= 1 && channels <= PQC_AMX_PAIR, "%d channels", channels);
    for (const pqc_amx_run *p = s->run, *last = p + s->runs; p < last; p++) {
        CHECK(p->from >= 0 && p->count >= 1 && p->count <= PQC_AMX_SIDE &&
                  p->from + p->count <= PQC_AMX_MAX_MC,
              "%d pixels from %d on", p->count, p->from);
        for (ptrdiff_t c = 0; c < channels; c++)
            for (ptrdiff_t i = 0; i < p->count; i++) {
                uint32_t sum = (uint32_t)s->compensation[c];
                sum += (uint32_t)sums[c * PQC_AMX_SUMS_STRIDE + p->from + i];
                to->y[c * to->channel_stride + p->to + i * to->pixel_stride] =
                    fmaf((float)(int32_t)sum, to->scale[c], to->bias[c]);
            }
    }
}

const pqc_amx_gemm plain_amx = {.begin = begin,
                                .end = end,
                                .gemm_nchw = gemm_nchw,
                                .gemm_nhwc = gemm_nhwc,
                                .flush = flush,
                                .panel = panel,
                                .store = store};
