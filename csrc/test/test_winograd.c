#include "check.h"
#include "conv_work.h"
#include "dispatch.h"
#include "tests.h"

#include <stdlib.h>
#include <string.h>

enum { WIDEST = 30, MAX_QUADS = 20, REST = 64, LANES = PQC_WINOGRAD_CHANNELS };

typedef struct {
    buffer x, w, v, u, m, start, sums;
} arena;

/* One layer: the image has `height` x `width` quads in each of `quads` planes. */
typedef struct {
    ptrdiff_t quads, height, width;
    const uint8_t *x;
    const int8_t *w;
    ptrdiff_t w_step;
    const int32_t *start;
} layer;

static int64_t expect(const layer *l, ptrdiff_t row, ptrdiff_t column, ptrdiff_t channel)
{
    int64_t sum = l->start[channel];
    for (ptrdiff_t quad = 0; quad < l->quads; quad++)
        for (ptrdiff_t tap = 0; tap < 9; tap++)
            for (ptrdiff_t i = 0; i < 4; i++) {
                ptrdiff_t at = (quad * l->height + row + tap / 3) * l->width + column + tap % 3;
                sum +=
                    (int64_t)l->x[4 * at + i] *
                    l->w[((tap / 3 * l->quads + quad) * 3 + tap % 3) * l->w_step + 4 * channel + i];
            }
    return sum;
}

static layer random_layer(arena *a, ptrdiff_t quads, ptrdiff_t height, ptrdiff_t width,
                          bool extreme)
{
    size_t bytes = (size_t)(4 * quads * height * width);
    uint8_t *x = buffer_place(&a->x, bytes + REST, 0);
    layer l = {quads, height, width, x, NULL, 4 * LANES * (1 + random_bits() % 4), NULL};
    int8_t *w = buffer_place(&a->w, (size_t)(9 * quads * l.w_step), 0);
    int32_t *start = buffer_place(&a->start, LANES * sizeof *start, 0);
    for (size_t i = 0; i < bytes + REST; i++)
        x[i] = (uint8_t)random_byte(extreme, 0, 255);
    for (ptrdiff_t i = 0; i < 9 * quads * l.w_step; i++)
        w[i] = (int8_t)random_byte(extreme, -128, 127);
    for (int i = 0; i < LANES; i++)
        start[i] = (int32_t)(random_bits() % 100000) - 50000;
    l.w = w;
    l.start = start;
    return l;
}

/* The tiles from `from` to `to` of one row of tiles, from products of tile `from` on. */
static void check_sums(arena *a, const layer *l, const pqc_winograd *k, const int32_t *m,
                       ptrdiff_t m_pitch, ptrdiff_t down, ptrdiff_t from, ptrdiff_t to)
{
    ptrdiff_t side = k->side, pixels = side * (to - from), pitch = pixels * LANES;
    size_t bytes = (size_t)(side * pitch) * sizeof(int32_t);
    int32_t *sums = buffer_place(&a->sums, bytes, 8);
    k->sums(m, m_pitch, to - from, l->start, sums, pitch);
    for (ptrdiff_t row = side * down; row < pqc_min(side * (down + 1), l->height - 2); row++)
        for (ptrdiff_t column = side * from; column < pqc_min(side * to, l->width - 2); column++)
            for (int c = 0; c < LANES; c++) {
                int32_t got = sums[row % side * pitch + (column - side * from) * LANES + c];
                CHECK(got == expect(l, row, column, c),
                      "side %td, %td quads of %td x %td, row %td, column %td, channel %d: %d", side,
                      l->quads, l->height, l->width, row, column, c, got);
            }
    CHECK(buffer_guards_intact(&a->sums), "side %td, %td tiles", side, to - from);
}

/* A run of tiles as a patch takes them; the products in two parts of the quads, if there are as many. */
static void check_patch(arena *a, const layer *l, const pqc_winograd *k, ptrdiff_t first,
                        ptrdiff_t tiles)
{
    pqc_winograd_image image = {l->x,         l->quads,  4 * l->height * l->width,
                                4 * l->width, l->height, (l->width - 3 + k->side) / k->side};
    ptrdiff_t positions = (k->side + 2) * (k->side + 2), cut = l->quads / 2;
    ptrdiff_t v_pitch = tiles + PQC_WINOGRAD_SPARE,
              m_pitch = tiles + (ptrdiff_t)(random_bits() % 3);
    int16_t *v = buffer_place(&a->v, (size_t)(positions * l->quads * v_pitch * 4) * sizeof *v, 2);
    int32_t *m = buffer_place(&a->m, (size_t)(positions * m_pitch * LANES) * sizeof *m, 4);
    k->inputs(&image, first, tiles, v_pitch, v);
    for (ptrdiff_t quad = 0; quad < l->quads;) {
        ptrdiff_t now = quad < cut ? cut : l->quads - quad;
        size_t words = (size_t)(positions * pqc_winograd_weights(now));
        int16_t *u = buffer_place(&a->u, words * sizeof *u, 2);
        pqc_winograd_operands operands = {
            (int)positions, v + quad * v_pitch * 4, l->quads, v_pitch, u, m_pitch};
        k->weights(l->w + quad * 3 * l->w_step, l->w_step, l->quads * 3 * l->w_step, now, u);
        CHECK(buffer_guards_intact(&a->u), "side %d, weights of %td quads", k->side, now);
        k->products(&operands, now, tiles, quad > 0, m);
        quad += now;
    }
    CHECK(buffer_guards_intact(&a->v) && buffer_guards_intact(&a->m), "side %d, %td tiles", k->side,
          tiles);
    for (ptrdiff_t done = 0; done < tiles;) {
        ptrdiff_t from = (first + done) % image.across;
        ptrdiff_t now = pqc_min(image.across - from, tiles - done);
        check_sums(a, l, k, m + done * LANES, m_pitch, (first + done) / image.across, from,
                   from + now);
        done += now;
    }
}

static void arena_each(arena *a, void (*visit)(buffer *))
{
    buffer *all[] = {&a->x, &a->w, &a->v, &a->u, &a->m, &a->start, &a->sums};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        visit(all[i]);
}

static ptrdiff_t tiles_of(ptrdiff_t size, int side)
{
    return (size - 3 + side) / side;
}

/* Which tiles a layer of some channels, whose weights are all the same, is computed with. */
static int side_of(ptrdiff_t in, ptrdiff_t out, ptrdiff_t size, pqc_conv_axis axis, int weight)
{
    pqc_conv_shape shape = {.groups = 1,
                            .in = in,
                            .out = out,
                            .axis = {{.kernel = 1, .stride = 1, .dilation = 1}, axis, axis}};
    const ptrdiff_t image[PQC_AXES] = {1, size, size};
    size_t count = (size_t)(in * out * axis.kernel * axis.kernel);
    size_t bytes = (size_t)pqc_packed_weights_bytes(&shape, false);
    void *memory = line_alloc(bytes);
    int8_t *weights = malloc(count);
    float *scale = malloc((size_t)out * sizeof *scale);
    pqc_packed_weights packed;
    pqc_conv_view view;
    memset(weights, weight, count);
    for (ptrdiff_t c = 0; c < out; c++)
        scale[c] = 1.0f;
    pqc_pack_weights(&packed, &shape, false, memory, weights, scale);
    int side =
        pqc_conv_view_init(&view, &shape, image) ? pqc_conv_winograd_side(&packed, &view) : -1;
    free(scale);
    free(weights);
    line_free(memory);
    return side;
}

static void check_choice(void)
{
    const pqc_conv_axis same = {.kernel = 3, .stride = 1, .dilation = 1, .before = 1, .after = 1};
    pqc_conv_axis other = same;
    CHECK(side_of(64, 64, 56, same, 20) == 4, "many tiles");
    CHECK(side_of(512, 64, 6, same, 20) == 2, "few tiles");
    CHECK(side_of(64, 64, 56, same, -128) == 4 && side_of(114, 32, 20, same, -128) == 4,
          "sums fit");
    CHECK(side_of(115, 32, 20, same, -128) == 2, "64 times the sum may not fit");
    CHECK(side_of(1827, 17, 4, same, -128) == 2, "4 times the sum fits");
    CHECK(side_of(1828, 17, 4, same, -128) == 0, "4 times the sum may not fit");
    CHECK(side_of(4, 4, 8, same, 1) == 0, "too few channels");
    CHECK(side_of(7300, 16, 4, same, 1) == 0, "sums in chunks");
    other.stride = 2;
    CHECK(side_of(64, 64, 56, other, 1) == 0, "a stride");
    other = same;
    other.dilation = 2;
    CHECK(side_of(64, 64, 56, other, 1) == 0, "a dilation");
    other = same;
    other.kernel = 5;
    CHECK(side_of(64, 64, 56, other, 1) == 0, "5 x 5");
}

void test_winograd(void)
{
    arena a;
    if (pqc.winograd == NULL)
        return;
    check_choice();
    arena_each(&a, buffer_open);
    for (ptrdiff_t height = 3; height <= 9; height++)
        for (ptrdiff_t width = 3; width <= WIDEST; width++) {
            ptrdiff_t quads = 1 + random_bits() % (width == 5 ? MAX_QUADS : 3);
            layer l = random_layer(&a, quads, height, width, width % 2);
            for (int i = 0; i < PQC_WINOGRAD_SIDES; i++) {
                const pqc_winograd *k = &pqc.winograd[i];
                ptrdiff_t all = tiles_of(height, k->side) * tiles_of(width, k->side);
                ptrdiff_t first = random_bits() % all;
                check_patch(&a, &l, k, 0, all);
                check_patch(&a, &l, k, first, all - first);
                if (first > 0)
                    check_patch(&a, &l, k, 0, first);
            }
        }
    arena_each(&a, buffer_close);
}
