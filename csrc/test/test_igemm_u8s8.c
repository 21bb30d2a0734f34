#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

enum { MAX_K = 300, MAX_PIXELS = 130, X_BYTES = 600 };

typedef struct {
    buffer x, w, compensation, weight_sums, offset, pixel, acc, y, inverse, bias;
} arena;

/* Runs of neighbours, as pixels of a row and bytes of a matrix' row are, and places anywhere between them.  The last one
 * reaches exactly to the end of x. */
static void fill_places(int32_t *places, ptrdiff_t n, int32_t last)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        bool next = i > 0 && places[i - 1] + 4 <= last && random_bits() % 8 != 0;
        places[i] = i + 1 == n ? last
                    : next     ? places[i - 1] + 4
                               : (int32_t)(random_bits() % (uint32_t)(last + 1));
    }
}

static const int8_t *weights_at(const pqc_igemm_params *g, ptrdiff_t step, int channel)
{
    return g->w + step * g->k_stride + channel / PQC_LANES * g->panel_stride +
           channel % PQC_LANES * 4;
}

static int64_t exact_product(const pqc_igemm_params *g, int32_t pixel, int channel)
{
    int64_t acc = g->compensation[channel];
    for (ptrdiff_t j = 0; j < g->k; j++)
        for (int i = 0; i < 4; i++)
            acc += (int64_t)g->x[pixel + g->offset[j] + i] * weights_at(g, j, channel)[i];
    return acc;
}

/* The same sums as results; of the last 16 channels there may be fewer. */
static void check_rows(arena *a, const pqc_igemm_params *g, const int32_t *pixel, int pixels,
                       const int32_t *acc)
{
    float scale[PQC_NR], bias[PQC_NR];
    int lanes = PQC_LANES * g->vectors, channels = lanes - (int)(random_bits() % PQC_LANES);
    if (g->half_last)
        channels = lanes - PQC_LANES / 2 - (int)(random_bits() % (PQC_LANES / 2));
    ptrdiff_t stride = channels + (ptrdiff_t)(random_bits() % 9);
    ptrdiff_t n = pixels == 0 ? 0 : (pixels - 1) * stride + channels;
    float *y = buffer_place(&a->y, (size_t)n * 4, 12);
    for (int c = 0; c < channels; c++) {
        scale[c] = 0x1.234568p-10f * (float)(c + 1);
        bias[c] = (float)(random_bits() % 1000) - 500.3f;
    }
    pqc_output_block block = {{scale, bias, y, stride, 1, false}, pixels, channels, pixels % 2};
    pqc.igemm_u8s8_f32(g, pixel, &block);
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t p = i / stride, c = i % stride;
        uint32_t want = 0xa5a5a5a5;
        if (c < channels)
            want = bits_f32(fmaf((float)acc[p * lanes + c], scale[c], bias[c]));
        CHECK(bits_f32(y[i]) == want, "pixel %td of %d, channel %td of %d: %a", p, pixels, c,
              channels, (double)y[i]);
    }
    CHECK(buffer_guards_intact(&a->y), "%d pixels, %d channels", pixels, channels);
}

/* A step's channels beside each other, or 16 channels' steps. */
static void check_block(arena *a, int vectors, ptrdiff_t k, int pixels, bool extreme, bool lowest,
                        bool together)
{
    int lanes = PQC_LANES * vectors;
    uint8_t *x = buffer_place(&a->x, X_BYTES, 0);
    int8_t *w = buffer_place(&a->w, (size_t)(k * lanes * 4), 0);
    int32_t *compensation = buffer_place(&a->compensation, (size_t)lanes * 4, 0);
    int32_t *sum = buffer_place(&a->weight_sums, (size_t)lanes * 4, 0);
    int32_t *offset = buffer_place(&a->offset, (size_t)k * 4, 0);
    int32_t *pixel = buffer_place(&a->pixel, (size_t)pixels * 4, 0);
    int32_t *acc = buffer_place(&a->acc, (size_t)(pixels * lanes) * 4, 24);
    for (int i = 0; i < X_BYTES; i++)
        x[i] = (uint8_t)random_byte(extreme, 0, 255);
    for (ptrdiff_t i = 0; i < k * lanes * 4; i++)
        w[i] = (int8_t)random_byte(extreme, lowest ? -128 : -127, 127);
    fill_places(offset, k, 300);
    fill_places(pixel, pixels, X_BYTES - 4 - 300);
    pqc_igemm_params g = {.x = x,
                          .offset = offset,
                          .k = k,
                          .w = w,
                          .k_stride = together ? 64 * vectors : 64,
                          .panel_stride = together ? 64 : 64 * k,
                          .compensation = compensation,
                          .weight_sums = sum,
                          .vectors = vectors,
                          .half_last = random_bits() % 2,
                          .has_min_weight = lowest};
    for (int c = 0; c < lanes; c++) {
        int32_t weights = 0;
        for (ptrdiff_t j = 0; j < k; j++)
            for (int i = 0; i < 4; i++)
                weights += weights_at(&g, j, c)[i];
        compensation[c] = -128 * weights + (int32_t)(random_bits() % 1000);
        sum[c] = 128 * weights;
    }
    pqc.igemm_u8s8(&g, pixel, pixels, acc);
    int wanted = lanes - (g.half_last ? PQC_LANES / 2 : 0);
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < wanted; c++)
            CHECK(acc[p * lanes + c] == exact_product(&g, pixel[p], c),
                  "pixel %d of %d, channel %d of %d, k %td: %d", p, pixels, c, lanes, k,
                  acc[p * lanes + c]);
    CHECK(buffer_guards_intact(&a->acc), "%d pixels, %d channels, k %td", pixels, lanes, k);
    if (pqc.igemm_u8s8_f32)
        check_rows(a, &g, pixel, pixels, acc);
}

/* Where pqc_gemv_params has the weights of a step: the last block has as many vectors as it needs. */
static ptrdiff_t row_weights(const pqc_gemv_params *r, ptrdiff_t step, ptrdiff_t channel)
{
    ptrdiff_t first = channel / PQC_NR * PQC_NR, in = channel - first;
    ptrdiff_t lanes = pqc_min((r->channels - first + 15) / 16 * 16, PQC_NR);
    ptrdiff_t place = r->narrow ? in / 16 * 16 * r->k + step * 16 + in % 16 : step * lanes + in;
    return 4 * (first * r->k + place);
}

static void check_row(arena *a, ptrdiff_t channels, ptrdiff_t k, bool extreme)
{
    ptrdiff_t lanes = (channels + 15) / 16 * 16;
    uint8_t *x = buffer_place(&a->x, (size_t)(4 * k), 0);
    int8_t *w = buffer_place(&a->w, (size_t)(4 * k * lanes), 0);
    int32_t *compensation = buffer_place(&a->compensation, (size_t)lanes * 4, 0);
    double *inverse = buffer_place(&a->inverse, (size_t)channels * 8, 0);
    float *bias = buffer_place(&a->bias, (size_t)channels * 4, 0);
    for (ptrdiff_t i = 0; i < 4 * k; i++)
        x[i] = (uint8_t)random_byte(extreme, 0, 255);
    for (ptrdiff_t i = 0; i < 4 * k * lanes; i++)
        w[i] = (int8_t)random_byte(extreme, -128, 127);
    for (ptrdiff_t c = 0; c < lanes; c++)
        compensation[c] = (int32_t)(random_bits() % 100000) - 50000;
    for (ptrdiff_t c = 0; c < channels; c++) {
        inverse[c] = 0x1.23456789abcdp-9 * (double)(1 + random_bits() % 1000);
        bias[c] = (float)(random_bits() % 1000) - 500.3f;
    }
    for (int way = 0; way < 8; way++) {
        pqc_gemv_params r = {.x = x,
                             .k = k,
                             .w = w,
                             .narrow = way & 1,
                             .compensation = compensation,
                             .scale = 0x1.6a09e667f3bcdp-5,
                             .inverse = inverse,
                             .to = {.bias = way & 2 ? bias : NULL, .channel_stride = 1},
                             .channels = channels,
                             .backwards = way & 4};
        r.to.y = buffer_place(&a->y, (size_t)channels * 4, 12);
        pqc.gemv_u8s8(&r);
        for (ptrdiff_t c = 0; c < channels; c++) {
            int64_t sum = compensation[c];
            for (ptrdiff_t j = 0; j < k; j++)
                for (int i = 0; i < 4; i++)
                    sum += (int64_t)x[4 * j + i] * w[row_weights(&r, j, c) + i];
            float want =
                fmaf((float)sum, (float)(r.scale * inverse[c]), r.to.bias ? bias[c] : 0.0f);
            CHECK(bits_f32(r.to.y[c]) == bits_f32(want), "way %d, channel %td of %td, k %td: %a",
                  way, c, channels, k, (double)r.to.y[c]);
        }
        CHECK(buffer_guards_intact(&a->y), "way %d, %td channels, k %td", way, channels, k);
    }
}

static void arena_each(arena *a, void (*visit)(buffer *))
{
    buffer *all[] = {&a->x,   &a->w, &a->compensation, &a->weight_sums, &a->offset, &a->pixel,
                     &a->acc, &a->y, &a->inverse,      &a->bias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        visit(all[i]);
}

void test_igemm_u8s8(void)
{
    static const ptrdiff_t depths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 65, MAX_K};
    arena a;
    arena_each(&a, buffer_open);
    for (int vectors = 1; vectors <= PQC_NR_VECTORS; vectors++)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
            for (int pixels = 0; pixels <= MAX_PIXELS; pixels += pixels < 20   ? 1
                                                                 : pixels < 60 ? 5
                                                                 : pixels < 66 ? 1
                                                                               : 32)
                for (int i = 0; i < 4; i++)
                    check_block(&a, vectors, depths[d], pixels, (pixels + vectors) % 2, i % 2 == 0,
                                i < 2);
    for (ptrdiff_t channels = 1; channels <= 200 && pqc.gemv_u8s8;
         channels += channels < 70 ? 1 : 13)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
            check_row(&a, channels, depths[d], channels % 2);
    arena_each(&a, buffer_close);
}
