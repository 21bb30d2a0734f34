#include "check.h"
#include "dispatch.h"
#include "tests.h"

enum { WIDEST = 30, MOST_QUADS = 20, REST = 64, LANES = PQC_WINOGRAD_CHANNELS };

typedef struct {
    buffer x, w, v, u, m, start, upper, lower;
} arena;

/* One layer: the image has `height` x `width` quads in each of `quads` planes. */
typedef struct {
    ptrdiff_t quads, height, width;
    const uint8_t *x;
    const int8_t *w;
    ptrdiff_t w_step;
    const int32_t *start;
} layer;

static int byte_of(bool extreme, int low, int high)
{
    return extreme ? (random_bits() & 1 ? low : high)
                   : low + (int)(random_bits() % (unsigned)(high - low + 1));
}

static int64_t expect(const layer *l, ptrdiff_t row, ptrdiff_t column, ptrdiff_t channel)
{
    int64_t sum = l->start[channel];
    for (ptrdiff_t quad = 0; quad < l->quads; quad++)
        for (ptrdiff_t tap = 0; tap < 9; tap++)
            for (ptrdiff_t i = 0; i < 4; i++) {
                ptrdiff_t at = (quad * l->height + row + tap / 3) * l->width + column + tap % 3;
                sum += (int64_t)l->x[4 * at + i] *
                       l->w[(quad * 9 + tap) * l->w_step + 4 * channel + i];
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
        x[i] = (uint8_t)byte_of(extreme, 0, 255);
    for (ptrdiff_t i = 0; i < 9 * quads * l.w_step; i++)
        w[i] = (int8_t)byte_of(extreme, -128, 127);
    for (int i = 0; i < LANES; i++)
        start[i] = (int32_t)(random_bits() % 100000) - 50000;
    l.w = w;
    l.start = start;
    return l;
}

/* The tiles from `from` to `to` of one row of tiles, from products of tile `from` on. */
static void check_sums(arena *a, const layer *l, const int32_t *m, ptrdiff_t m_pitch,
                       ptrdiff_t down, ptrdiff_t from, ptrdiff_t to)
{
    size_t bytes = (size_t)(2 * (to - from) * LANES) * sizeof(int32_t);
    int32_t *sums[2] = {buffer_place(&a->upper, bytes, 4), buffer_place(&a->lower, bytes, 8)};
    pqc.winograd->sums(m, m_pitch, to - from, l->start, sums[0], sums[1]);
    for (ptrdiff_t row = 2 * down; row < pqc_least(2 * down + 2, l->height - 2); row++)
        for (ptrdiff_t column = 2 * from; column < pqc_least(2 * to, l->width - 2); column++)
            for (int c = 0; c < LANES; c++) {
                int32_t got = sums[row % 2][(column - 2 * from) * LANES + c];
                CHECK(got == expect(l, row, column, c),
                      "%td quads of %td x %td, row %td, column %td, channel %d: %d", l->quads,
                      l->height, l->width, row, column, c, got);
            }
    CHECK(buffer_guards_intact(&a->upper) && buffer_guards_intact(&a->lower), "%td tiles",
          to - from);
}

/* A run of tiles as a patch takes them; the products in two parts of the quads, if there are as many. */
static void check_patch(arena *a, const layer *l, ptrdiff_t first, ptrdiff_t tiles)
{
    const pqc_winograd *k = pqc.winograd;
    pqc_winograd_image image = {l->x,         l->quads,  4 * l->height * l->width,
                                4 * l->width, l->height, (l->width - 1) / 2};
    ptrdiff_t v_pitch = tiles + PQC_WINOGRAD_SPARE,
              m_pitch = tiles + (ptrdiff_t)(random_bits() % 3);
    ptrdiff_t cut = l->quads / 2, part[] = {cut, l->quads - cut}, p16 = PQC_WINOGRAD_POSITIONS;
    int16_t *v = buffer_place(&a->v, (size_t)(p16 * l->quads * v_pitch * 4) * sizeof *v, 2);
    int32_t *m = buffer_place(&a->m, (size_t)(p16 * m_pitch * LANES) * sizeof *m, 4);
    k->inputs(&image, first, tiles, v_pitch, v);
    for (int i = cut == 0; i < 2; i++) {
        ptrdiff_t before = i * cut;
        int16_t *u =
            buffer_place(&a->u, (size_t)(p16 * pqc_winograd_weights(part[i])) * sizeof *u, 2);
        k->weights(l->w + before * 9 * l->w_step, l->w_step, part[i], u);
        CHECK(buffer_guards_intact(&a->u), "weights of %td quads", part[i]);
        k->products(v + before * v_pitch * 4, l->quads, v_pitch, u, part[i], tiles, before > 0, m,
                    m_pitch);
    }
    CHECK(buffer_guards_intact(&a->v) && buffer_guards_intact(&a->m), "%td tiles", tiles);
    for (ptrdiff_t done = 0; done < tiles;) {
        ptrdiff_t from = (first + done) % image.across;
        ptrdiff_t now = pqc_least(image.across - from, tiles - done);
        check_sums(a, l, m + done * LANES, m_pitch, (first + done) / image.across, from,
                   from + now);
        done += now;
    }
}

static void arena_each(arena *a, void (*visit)(buffer *))
{
    buffer *all[] = {&a->x, &a->w, &a->v, &a->u, &a->m, &a->start, &a->upper, &a->lower};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        visit(all[i]);
}

void test_winograd(void)
{
    arena a;
    if (pqc.winograd == NULL)
        return;
    arena_each(&a, buffer_open);
    for (ptrdiff_t height = 3; height <= 9; height++)
        for (ptrdiff_t width = 3; width <= WIDEST; width++) {
            ptrdiff_t quads = 1 + random_bits() % (width == 5 ? MOST_QUADS : 3);
            layer l = random_layer(&a, quads, height, width, width % 2);
            ptrdiff_t all = (height - 1) / 2 * ((width - 1) / 2), first = random_bits() % all;
            check_patch(&a, &l, 0, all);
            check_patch(&a, &l, first, all - first);
            check_patch(&a, &l, 0, all - first);
        }
    arena_each(&a, buffer_close);
}
