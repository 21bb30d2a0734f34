#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNTOUCHED = 0x5a5a5a5a, MAX_RUNS = 24, MAX_ROWS = 64, LONG_GROUPS = 1100 };

static const ptrdiff_t depths[] = {0, 1, 3, 4, 15, 16, 17, 31, 32, 33, 47, 48, 65};
enum { DEPTHS = sizeof depths / sizeof *depths };

/* A linear layer's operands and results, twice: one product's results are written during the next. */
typedef struct {
    buffer x, w, start, scale, bias, y;
} arena;

typedef struct {
    arena at[2];
    buffer offset, sums;
} arenas;

static void arenas_each(arenas *a, void (*visit)(buffer *))
{
    for (int i = 0; i < 2; i++) {
        arena *at = &a->at[i];
        buffer *all[] = {&at->x, &at->w, &at->start, &at->scale, &at->bias, &at->y};
        for (size_t b = 0; b < sizeof all / sizeof *all; b++)
            visit(all[b]);
    }
    visit(&a->offset);
    visit(&a->sums);
}

static void *random_bytes(buffer *b, ptrdiff_t bytes, bool extreme, int low)
{
    uint8_t *data = buffer_place(b, (size_t)bytes, 0);
    for (ptrdiff_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)random_byte(extreme, low, low + 255);
    return data;
}

static ptrdiff_t groups_of(ptrdiff_t k)
{
    return (k + PQC_AMX_SIDE - 1) / PQC_AMX_SIDE;
}

static bool same_modulo(int32_t got, int64_t want)
{
    return (uint32_t)got == (uint32_t)want;
}

/* A row's four bytes of a step, or a channel's: in blocks of 16, then groups of 16 steps. */
static ptrdiff_t in_groups(ptrdiff_t row, ptrdiff_t step, ptrdiff_t k)
{
    ptrdiff_t tile = row / PQC_AMX_SIDE * groups_of(k) + step / PQC_AMX_SIDE;
    return PQC_AMX_TILE_BYTES * tile + 64 * (row % PQC_AMX_SIDE) + 4 * (step % PQC_AMX_SIDE);
}

static float any_scale(void)
{
    return ldexpf(1.0f + (float)(random_bits() >> 9) * 0x1p-23f, -(int)(random_bits() % 40));
}

static float any_bias(void)
{
    return random_bits() % 3 == 0 ? 0.0f : (float)(int32_t)random_bits() * 0x1p-20f;
}

static float result(int64_t sum, float scale, float bias)
{
    return fmaf((float)(int32_t)(uint32_t)sum, scale, bias);
}

/* Some rows by some channels. */
typedef struct {
    arena *a;
    pqc_igemm_params g;
    const uint8_t *x;
    pqc_output_block block;
} product;

/* The starts are any 32 bits: many a sum leaves them and comes back. */
static product any_product(arena *a, ptrdiff_t k, int rows, int channels, bool extreme)
{
    int vectors = (channels + PQC_LANES - 1) / PQC_LANES, lanes = PQC_LANES * vectors;
    ptrdiff_t panel_stride = 64 * (k + (ptrdiff_t)(random_bits() % 3));
    ptrdiff_t stride = channels + (ptrdiff_t)(random_bits() % 20);
    size_t floats = (size_t)channels * 4, bytes = (size_t)((rows - 1) * stride + channels) * 4;
    int32_t *start = buffer_place(&a->start, (size_t)lanes * 4, 0);
    float *scale = buffer_place(&a->scale, floats, 0), *bias = buffer_place(&a->bias, floats, 0);
    float *y = buffer_place(&a->y, bytes, 20);
    for (int c = 0; c < lanes; c++)
        start[c] = (int32_t)random_bits();
    for (int c = 0; c < channels; c++) {
        scale[c] = any_scale();
        bias[c] = any_bias();
    }
    memset(y, 0x5a, bytes);
    ptrdiff_t blocks = groups_of(rows), x_bytes = blocks * groups_of(k) * PQC_AMX_TILE_BYTES;
    return (product){
        .a = a,
        .g = {.k = k,
              .w = random_bytes(&a->w, (vectors - 1) * panel_stride + 64 * k, extreme, -128),
              .k_stride = 64,
              .panel_stride = panel_stride,
              .compensation = start,
              .vectors = vectors},
        .x = random_bytes(&a->x, x_bytes, extreme, 0),
        .block = {{scale, bias, y, stride, 1, false}, rows, channels, false}};
}

static int64_t exact_row(const product *p, ptrdiff_t row, ptrdiff_t channel)
{
    const pqc_igemm_params *g = &p->g;
    const int8_t *w = g->w + channel / PQC_LANES * g->panel_stride + channel % PQC_LANES * 4;
    int64_t sum = g->compensation[channel];
    for (ptrdiff_t j = 0; j < g->k; j++)
        for (int i = 0; i < 4; i++)
            sum += (int64_t)p->x[in_groups(row, j, g->k) + i] * w[64 * j + i];
    return sum;
}

static void check_product(const product *p)
{
    const pqc_output_f32 *to = &p->block.to;
    int rows = p->block.pixels, channels = p->block.channels;
    for (ptrdiff_t i = 0; i < (rows - 1) * to->pixel_stride + channels; i++) {
        ptrdiff_t row = i / to->pixel_stride, c = i % to->pixel_stride;
        uint32_t want = UNTOUCHED;
        if (c < channels)
            want = bits_f32(result(exact_row(p, row, c), to->scale[c], to->bias[c]));
        CHECK(bits_f32(to->y[i]) == want, "row %td of %d, channel %td of %d, k %td: %a", row, rows,
              c, channels, p->g.k, (double)to->y[i]);
    }
    CHECK(buffer_guards_intact(&p->a->y), "%d rows, %d channels, k %td", rows, channels, p->g.k);
}

/* Two products after each other, which may differ in their channels, and in their rows if these are 16 or more. */
static void check_rows(arenas *a, ptrdiff_t k, int rows, int channels, bool extreme)
{
    pqc_amx_pending pending = {.block = {.pixels = 0}};
    int others = rows < PQC_AMX_SIDE ? rows : 1 + (int)(random_bits() % MAX_ROWS);
    product first = any_product(&a->at[0], k, rows, channels, extreme);
    product second = any_product(&a->at[1], k, others, 1 + (int)(random_bits() % PQC_NR), extreme);
    pqc.amx_gemm->begin(k, rows < PQC_AMX_SIDE ? rows : PQC_AMX_SIDE);
    pqc.amx_gemm->gemm_nhwc(&first.g, first.x, &first.block, &pending);
    pqc.amx_gemm->gemm_nhwc(&second.g, second.x, &second.block, &pending);
    pqc.amx_gemm->flush(&pending);
    pqc.amx_gemm->end();
    check_product(&first);
    check_product(&second);
}

static int64_t exact_pixel(const int8_t *w, ptrdiff_t channel, const pqc_amx_pixels *pixels,
                           ptrdiff_t pixel, ptrdiff_t k)
{
    const uint8_t *x =
        pixels->x + pixel / PQC_AMX_SIDE * pixels->block_stride + pixel % PQC_AMX_SIDE * 4;
    int64_t sum = 0;
    for (ptrdiff_t j = 0; j < k; j++) {
        ptrdiff_t in_group = j % PQC_AMX_SIDE;
        const uint8_t *at = pixels->offset
                                ? x + pixels->offset[j - in_group] + in_group * pixels->k_stride
                                : x + 64 * j;
        for (int i = 0; i < 4; i++)
            sum += (int64_t)at[i] * w[in_groups(channel, j, k) + i];
    }
    return sum;
}

/* Between the blocks' sums a channel has room for other strips', which stay as they are. */
static void check_columns(arenas *a, const int8_t *w, int blocks, const pqc_amx_pixels *pixels,
                          ptrdiff_t k)
{
    int channels = PQC_AMX_SIDE * blocks, count = PQC_AMX_SIDE * pixels->blocks;
    ptrdiff_t n = (channels - 1) * PQC_AMX_SUMS_STRIDE + count;
    int32_t *sums = buffer_place(&a->sums, (size_t)n * 4, 20);
    memset(sums, 0x5a, (size_t)n * 4);
    pqc.amx_gemm->begin(k, PQC_AMX_SIDE);
    pqc.amx_gemm->gemm_nchw(w, blocks, pixels, k, sums);
    pqc.amx_gemm->end();
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t channel = i / PQC_AMX_SUMS_STRIDE, pixel = i % PQC_AMX_SUMS_STRIDE;
        CHECK(same_modulo(sums[i], pixel < count ? exact_pixel(w, channel, pixels, pixel, k)
                                                 : (int64_t)UNTOUCHED),
              "channel %td of %d, pixel %td of %d, k %td, rows %td apart: %d", channel, channels,
              pixel, count, k, pixels->k_stride, sums[i]);
    }
    CHECK(buffer_guards_intact(&a->sums), "%d channels, %d pixels, k %td", channels, count, k);
}

static void check_panels(arenas *a, int blocks, int pixel_blocks, ptrdiff_t k, bool extreme)
{
    ptrdiff_t block_stride = 64 * (k + (ptrdiff_t)(random_bits() % 3));
    const int8_t *w =
        random_bytes(&a->at[0].w, blocks * groups_of(k) * PQC_AMX_TILE_BYTES, extreme, -128);
    const uint8_t *x =
        random_bytes(&a->at[0].x, (pixel_blocks - 1) * block_stride + 64 * k, extreme, 0);
    pqc_amx_pixels pixels = {x, NULL, 64, block_stride, pixel_blocks};
    check_columns(a, w, blocks, &pixels, k);
}

/* Of a group's offsets the first alone counts.  The last step of the last pixel ends where the image does. */
static void check_straight(arenas *a, int blocks, int pixel_blocks, ptrdiff_t groups, ptrdiff_t row,
                           bool extreme)
{
    ptrdiff_t k = PQC_AMX_SIDE * groups, block_stride = (ptrdiff_t)(random_bits() % 200),
              last = 301;
    const int8_t *w =
        random_bytes(&a->at[0].w, blocks * groups * PQC_AMX_TILE_BYTES, extreme, -128);
    ptrdiff_t bytes = last + (PQC_AMX_SIDE - 1) * row + (pixel_blocks - 1) * block_stride + 64;
    const uint8_t *x = random_bytes(&a->at[0].x, bytes, extreme, 0);
    int32_t *offset = buffer_place(&a->offset, (size_t)k * 4, 0);
    for (ptrdiff_t j = 0; j < k; j++)
        offset[j] =
            j % PQC_AMX_SIDE != 0 ? INT32_MAX : (int32_t)(random_bits() % (uint32_t)(last + 1));
    if (k > 0)
        offset[k - PQC_AMX_SIDE] = (int32_t)last;
    pqc_amx_pixels pixels = {x, offset, row, block_stride, pixel_blocks};
    check_columns(a, w, blocks, &pixels, k);
}

/* Products that leave 32 bits on the way, on either side. */
static void check_long_sums(arenas *a, int weight)
{
    ptrdiff_t k = PQC_AMX_SIDE * LONG_GROUPS;
    uint8_t *x = buffer_place(&a->at[0].x, PQC_AMX_TILE_BYTES + 4, 0);
    int32_t *offset = buffer_place(&a->offset, (size_t)k * 4, 0);
    int8_t *w = malloc((size_t)(LONG_GROUPS * PQC_AMX_TILE_BYTES));
    memset(x, 255, PQC_AMX_TILE_BYTES + 4);
    memset(w, weight, (size_t)(LONG_GROUPS * PQC_AMX_TILE_BYTES));
    for (ptrdiff_t j = 0; j < k; j++)
        offset[j] = (int32_t)(j / PQC_AMX_SIDE % 2 * 4);
    x[7] = 3;
    w[5] = 1;
    pqc_amx_pixels pixels = {x, offset, 64, 0, 1};
    check_columns(a, w, 1, &pixels, k);
    free(w);
}

/* Any offsets; the last byte used is 63 before the image's end. */
static void check_panel(arenas *a, pqc_amx_panel p, int32_t pixel_reach)
{
    int last = p.pixel ? pixel_reach + 3 : p.dilation == 0 ? 63 : 15 * p.stride + 3 * p.dilation;
    int32_t *offset = buffer_place(&a->offset, (size_t)p.k * 4, 0), most = 500;
    const uint8_t *x = random_bytes(&a->at[0].x, most + last + 64, false, 0);
    uint8_t *panel = buffer_place(&a->at[0].y, (size_t)(64 * p.k), 0);
    for (ptrdiff_t j = 0; j < p.k; j++)
        offset[j] = j == p.k / 2 ? most : (int32_t)(random_bits() % (uint32_t)most);
    p.offset = offset;
    pqc.amx_gemm->panel(&p, x, panel);
    for (ptrdiff_t n = 0; n < 64 * p.k; n++) {
        int pixel = (int)(n % 64 / 4), i = (int)(n % 4);
        int at = p.pixel           ? p.pixel[pixel] + i
                 : p.dilation == 0 ? 4 * pixel + i
                                   : pixel * p.stride + i * p.dilation;
        CHECK(panel[n] == x[offset[n / 64] + at],
              "step %td of %td, pixel %d, byte %d, stride %d, dilation %d%s", n / 64, p.k, pixel, i,
              p.stride, p.dilation, p.pixel ? ", gathered" : "");
    }
    CHECK(buffer_guards_intact(&a->at[0].y), "%td steps", p.k);
}

static void check_ways_of_panels(arenas *a, ptrdiff_t k)
{
    enum { REACH = 700 };
    int32_t pixel[PQC_AMX_SIDE];
    check_panel(a, (pqc_amx_panel){.k = k}, 0);
    for (int stride = 1; stride < PQC_KW4_REACH; stride++)
        for (int dilation = 1; stride + dilation <= PQC_KW4_REACH; dilation++)
            check_panel(a, (pqc_amx_panel){.k = k, .stride = stride, .dilation = dilation}, 0);
    for (int i = 0; i < PQC_AMX_SIDE; i++)
        pixel[i] = i == 5 ? REACH : (int32_t)(random_bits() % REACH);
    check_panel(a, (pqc_amx_panel){.k = k, .pixel = pixel}, REACH);
}

/* Results beside each other, with gaps; `lines`: that begin and end on cache lines, if y does. */
static int random_runs(pqc_amx_run *run, ptrdiff_t step, bool lines, ptrdiff_t *length)
{
    int runs = (int)(random_bits() % (MAX_RUNS + 1));
    ptrdiff_t to = 0;
    for (int i = 0; i < runs; i++) {
        int count = lines && i % 3 != 0 ? PQC_AMX_SIDE : (int)(1 + random_bits() % PQC_AMX_SIDE);
        to +=
            lines ? PQC_AMX_SIDE * (ptrdiff_t)(random_bits() % 2) : (ptrdiff_t)(random_bits() % 6);
        run[i] =
            (pqc_amx_run){(int)(random_bits() % (unsigned)(PQC_AMX_MAX_MC - count + 1)), count, to};
        to += (count - 1) * step + 1;
        to = lines ? (to + PQC_AMX_SIDE - 1) / PQC_AMX_SIDE * PQC_AMX_SIDE : to;
    }
    *length = to;
    return runs;
}

static void store_as_told(const pqc_amx_store *s, const int32_t *sums, int channels, float *y)
{
    const pqc_output_f32 *to = &s->to;
    for (int c = 0; c < channels; c++)
        for (const pqc_amx_run *p = s->run; p < s->run + s->runs; p++)
            for (int i = 0; i < p->count; i++) {
                int64_t sum =
                    (int64_t)s->compensation[c] + sums[c * PQC_AMX_SUMS_STRIDE + p->from + i];
                y[c * to->channel_stride + p->to + i * to->pixel_stride] =
                    result(sum, to->scale[c], to->bias[c]);
            }
}

/* All of y, what lies between the results included. */
static void check_store(arenas *a, int channels, ptrdiff_t step, bool lines, bool stream)
{
    pqc_amx_run run[MAX_RUNS];
    ptrdiff_t length, room = lines ? PQC_AMX_SIDE * (ptrdiff_t)(random_bits() % 3)
                                   : (ptrdiff_t)(random_bits() % 40);
    int runs = random_runs(run, step, lines, &length);
    ptrdiff_t pitch = length + room, n = (channels - 1) * pitch + length;
    int32_t start[PQC_AMX_PAIR];
    float scale[PQC_AMX_PAIR], bias[PQC_AMX_PAIR];
    int32_t *sums = buffer_place(&a->sums, (PQC_AMX_PAIR * PQC_AMX_SUMS_STRIDE) * 4, 0);
    float *y = buffer_place(&a->at[0].y, (size_t)n * 4, lines ? 0 : 4 * (random_bits() % 16));
    float *want = malloc((size_t)(n + 1) * 4);
    for (int i = 0; i < PQC_AMX_PAIR * PQC_AMX_SUMS_STRIDE; i++)
        sums[i] = (int32_t)random_bits() >> random_bits() % 32;
    for (int c = 0; c < PQC_AMX_PAIR; c++) {
        start[c] = c % 4 == 0 ? 0 : (int32_t)random_bits() >> random_bits() % 32;
        scale[c] = any_scale();
        bias[c] = any_bias();
    }
    pqc_amx_store store = {start, {scale, bias, y, step, pitch, stream}, run, runs};
    memset(y, 0x5a, (size_t)n * 4);
    memset(want, 0x5a, (size_t)n * 4);
    store_as_told(&store, sums, channels, want);
    pqc.amx_gemm->store(&store, sums, channels);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(bits_f32(y[i]) == bits_f32(want[i]),
              "channel %td of %d, float %td of %td, step %td%s: %a, not %a", i / pitch, channels,
              i % pitch, length, step, stream ? ", streamed" : "", (double)y[i], (double)want[i]);
    CHECK(buffer_guards_intact(&a->at[0].y), "%d channels, %d runs, step %td", channels, runs,
          step);
    free(want);
}

static void check_linear_layers(arenas *a)
{
    static const int rows[] = {1, 2, 5, 15, 16, 17, 31, 32, 33, 47, 48, 49, MAX_ROWS};
    static const int channels[] = {1, 15, 16, 17, 32, 33, 48, 49, PQC_NR};
    for (size_t d = 0; d < DEPTHS; d++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof channels / sizeof *channels; c++)
                check_rows(a, depths[d], rows[r], channels[c], (d + r + c) % 2);
}

static void check_convolutions(arenas *a)
{
    static const ptrdiff_t rows[] = {4, 9, 64, 4 * 81, 7 * 64, 1001};
    for (size_t d = 0; d < DEPTHS; d++)
        for (int extreme = 0; extreme < 2; extreme++) {
            for (int i = 0; i < 4; i++)
                check_panels(a, 1 + i / 2, 1 + i % 2, depths[d], extreme);
        }
    for (ptrdiff_t groups = 0; groups <= 5; groups++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (int i = 0; i < 8; i++)
                check_straight(a, 1 + i / 4, 1 + i / 2 % 2, groups, rows[r], i % 2);
    check_long_sums(a, -128);
    check_long_sums(a, 127);
}

void test_amx_gemm(void)
{
    arenas a;
    if (pqc.amx_gemm == NULL)
        return;
    arenas_each(&a, buffer_open);
    check_linear_layers(&a);
    check_convolutions(&a);
    for (ptrdiff_t k = 0; k <= 40; k++)
        check_ways_of_panels(&a, k);
    for (int channels = 1; channels <= PQC_AMX_PAIR; channels++)
        for (ptrdiff_t step = 1; step <= 7; step += 1 + step / 3)
            for (int i = 0; i < 8; i++)
                check_store(&a, channels, step, i % 2, i / 2 % 2);
    arenas_each(&a, buffer_close);
}
