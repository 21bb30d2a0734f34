#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <string.h>

typedef struct {
    buffer x, tiles, x_sums, starts, row_scale, w, zeros, weight_sums, inverse, bias, y;
} arena;

/* The weight of channel c for neighbour k of group g, as the header has it. */
static int code_at(const pqc_gemm_s8u4_params *p, ptrdiff_t c, ptrdiff_t g, ptrdiff_t k)
{
    const uint8_t *group = p->w + c / 16 * pqc_u4_panel_bytes(p->groups, p->length) +
                           g * pqc_u4_group_bytes(p->length);
    uint8_t both = group[k / 8 * 64 + 4 * (c % 16) + k % 4];
    return k % 8 < 4 ? both & 15 : both >> 4;
}

static int64_t exact_sum(const pqc_gemm_s8u4_params *p, ptrdiff_t r, ptrdiff_t c, ptrdiff_t g)
{
    ptrdiff_t at = (c / 16 * p->groups + g) * 16 + c % 16;
    int zero = p->zeros ? p->zeros[at] : p->zero;
    int64_t sum = p->weight_sums ? (int64_t)p->x_zero * p->weight_sums[at] : 0;
    for (ptrdiff_t k = 0; k < p->length; k++) {
        int x = p->x[p->rows * ((g * p->length + k) / 4 * 4) + 4 * r + k % 4];
        sum += (int64_t)x * (code_at(p, c, g, k) - zero);
    }
    return sum;
}

static float exact_result(const pqc_gemm_s8u4_params *p, ptrdiff_t r, ptrdiff_t c)
{
    float total = 0, bias = p->bias ? p->bias[c] : 0;
    for (ptrdiff_t g = 0; g < p->groups; g++) {
        float scale;
        memcpy(&scale,
               p->w + c / 16 * pqc_u4_panel_bytes(p->groups, p->length) +
                   g * pqc_u4_group_bytes(p->length) + 8 * p->length + 4 * (c % 16),
               4);
        total = fmaf((float)exact_sum(p, r, c, g), scale, total);
    }
    if (p->inverse)
        return fmaf((float)exact_sum(p, r, c, 0), (float)(p->row_scale[r] * p->inverse[c]), bias);
    return fmaf(total, (float)p->row_scale[r], bias);
}

static void set_sums(const pqc_gemm_s8u4_params *p, int32_t *sums, int32_t *starts)
{
    for (ptrdiff_t g = 0; g < p->groups; g++)
        for (int r = 0; r < p->rows; r++) {
            int32_t sum = 0;
            for (ptrdiff_t k = 0; k < p->length; k++)
                sum += p->x[p->rows * ((g * p->length + k) / 4 * 4) + 4 * r + k % 4];
            sums[g * p->rows + r] = sum;
            starts[g * p->rows + r] = -p->zero * sum;
        }
}

static void set_weights(const pqc_gemm_s8u4_params *p, uint8_t *w, bool extreme)
{
    ptrdiff_t panels = (p->channels + 15) / 16, bytes = pqc_u4_group_bytes(p->length);
    for (ptrdiff_t i = 0; i < panels * p->groups; i++, w += bytes) {
        for (ptrdiff_t j = 0; j < 8 * p->length; j++)
            w[j] = (uint8_t)random_byte(extreme, 0, 255);
        for (int c = 0; c < 16; c++) {
            float scale = 0x1.234568p-6f * (float)(1 + random_bits() % 100);
            memcpy(w + 8 * p->length + 4 * c, &scale, 4);
        }
    }
}

/* The same codes in AMX's tiles of 16 rows; those that fill up the last one are noise. */
static int8_t *in_tiles(buffer *b, const pqc_gemm_s8u4_params *p)
{
    ptrdiff_t k = p->groups * p->length, tile = pqc_u4_amx_k(p->length);
    ptrdiff_t bytes = (p->rows + 15) / 16 * 16 * k;
    int8_t *x = buffer_place(b, (size_t)bytes, 0);
    for (ptrdiff_t i = 0; i < bytes; i++)
        x[i] = (int8_t)random_bits();
    for (ptrdiff_t r = 0; r < p->rows; r++)
        for (ptrdiff_t i = 0; i < k; i++)
            x[r / 16 * 16 * k + i / tile * 16 * tile + r % 16 * tile + i % tile] =
                p->x[p->rows * (i / 4 * 4) + 4 * r + i % 4];
    return x;
}

static void check_results(arena *a, pqc_gemm_s8u4_params *p, pqc_gemm_s8u4_fn *gemm,
                          const int8_t *x)
{
    pqc_gemm_s8u4_params with = *p;
    ptrdiff_t n = p->rows == 0 ? 0 : (p->rows - 1) * p->y_row + p->channels;
    p->y = buffer_place(&a->y, (size_t)n * 4, 12);
    with.y = p->y;
    with.x = x;
    gemm(&with);
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t r = i / p->y_row, c = i % p->y_row;
        uint32_t want = c < p->channels ? bits_f32(exact_result(p, r, c)) : 0xa5a5a5a5;
        CHECK(bits_f32(p->y[i]) == want, "row %td of %d, channel %td of %td, %td x %td: %a", r,
              p->rows, c, p->channels, p->groups, p->length, (double)p->y[i]);
    }
    CHECK(buffer_guards_intact(&a->y), "%d rows, %td channels", p->rows, p->channels);
}

static void check_product(arena *a, int rows, ptrdiff_t channels, ptrdiff_t groups,
                          ptrdiff_t length, bool extreme)
{
    ptrdiff_t panels = (channels + 15) / 16, k = groups * length;
    int8_t *x = buffer_place(&a->x, (size_t)(rows * k), 0);
    int32_t *x_sums = buffer_place(&a->x_sums, (size_t)(rows * groups) * 4, 0);
    int32_t *starts = buffer_place(&a->starts, (size_t)(rows * groups) * 4, 0);
    double *row_scale = buffer_place(&a->row_scale, (size_t)rows * 8, 0);
    uint8_t *w = buffer_place(&a->w, (size_t)(panels * pqc_u4_panel_bytes(groups, length)), 0);
    uint8_t *zeros = buffer_place(&a->zeros, (size_t)(panels * groups * 16), 0);
    int32_t *weight_sums = buffer_place(&a->weight_sums, (size_t)(panels * groups * 64), 0);
    double *inverse = buffer_place(&a->inverse, (size_t)channels * 8, 0);
    float *bias = buffer_place(&a->bias, (size_t)channels * 4, 0);
    for (ptrdiff_t i = 0; i < rows * k; i++)
        x[i] = (int8_t)random_byte(extreme, -128, 127);
    for (int r = 0; r < rows; r++)
        row_scale[r] = 0x1.6a09e667f3bcdp-5 * (1 + r);
    for (ptrdiff_t i = 0; i < panels * groups * 16; i++) {
        zeros[i] = (uint8_t)random_byte(extreme, 0, 15);
        weight_sums[i] = (int32_t)(random_bits() % 4000) - 2000;
    }
    for (ptrdiff_t c = 0; c < channels; c++) {
        inverse[c] = 0x1.23456789abcdp-9 * (double)(1 + random_bits() % 1000);
        bias[c] = (float)(random_bits() % 1000) - 500.3f;
    }
    for (int way = 0; way < 4; way++) {
        pqc_gemm_s8u4_params p = {.x = x,
                                  .x_sums = x_sums,
                                  .starts = starts,
                                  .row_scale = row_scale,
                                  .rows = rows,
                                  .w = w,
                                  .groups = groups,
                                  .length = length,
                                  .zeros = way & 1 ? zeros : NULL,
                                  .zero = way & 2 ? 8 : 3,
                                  .weight_sums = way & 2 ? weight_sums : NULL,
                                  .x_zero = 128,
                                  .inverse = groups == 1 && way < 3 ? inverse : NULL,
                                  .channels = channels,
                                  .bias = way & 1 ? bias : NULL,
                                  .y_row = channels + way};
        set_sums(&p, x_sums, starts);
        set_weights(&p, w, extreme);
        if (rows <= PQC_U4_MR)
            check_results(a, &p, pqc.gemm_s8u4, x);
        if (pqc.gemm_s8u4_amx && pqc_u4_amx_k(length) > 0 && rows > 0)
            check_results(a, &p, pqc.gemm_s8u4_amx, in_tiles(&a->tiles, &p));
    }
}

void test_gemm_s8u4(void)
{
    static const ptrdiff_t lengths[] = {8, 16, 32, 40, 64, 104};
    arena a;
    buffer *all[] = {&a.tiles, &a.x,           &a.x_sums,  &a.starts, &a.row_scale, &a.w,
                     &a.zeros, &a.weight_sums, &a.inverse, &a.bias,   &a.y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buffer_open(all[i]);
    for (int rows = 0; rows <= PQC_U4_MR; rows++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            check_product(&a, rows, 1 + (ptrdiff_t)(random_bits() % 40),
                          1 + (ptrdiff_t)(random_bits() % 3), lengths[i], i % 2 == 0);
    check_product(&a, 3, 0, 2, 32, false);
    check_product(&a, 64, 20, 11, 32, false);
    check_product(&a, 33, 33, 1, 64, false);
    check_product(&a, 50, 16, 5, 128, true);
    check_product(&a, 18, 16, 2, 1024, true);
    check_product(&a, 2, 16, 1, 4096, true);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buffer_close(all[i]);
}
