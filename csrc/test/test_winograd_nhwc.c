/* Winograd's algorithm, channels last: transforms and products of patches against sums by the definition. */
#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <string.h>

enum { REST = 31, MAX_CHANNELS = 70, WIDEST = 13, CASES = 160 };

typedef struct {
    buffer x, v, u, m, start, sums;
} arena;

/* An image of `height` x `width` pixels of `in` channels, `pixel` bytes apart; its outputs have `vectors` times 16 channels. */
typedef struct {
    ptrdiff_t in, pixel, height, width;
    int vectors;
    const uint8_t *x;
    const int32_t *start;
    int8_t w[4 * PQC_LANES][MAX_CHANNELS][9];
} layer;

static int64_t expect(const layer *l, ptrdiff_t row, ptrdiff_t column, ptrdiff_t channel)
{
    int64_t sum = l->start[channel];
    for (ptrdiff_t c = 0; c < l->in; c++)
        for (ptrdiff_t tap = 0; tap < 9; tap++) {
            ptrdiff_t pixel = (row + tap / 3) * l->width + column + tap % 3;
            sum += (int64_t)l->x[pixel * l->pixel + c] * l->w[channel][c][tap];
        }
    return sum;
}

static void make_layer(arena *a, layer *l, bool extreme)
{
    ptrdiff_t outputs = l->vectors * PQC_LANES;
    size_t bytes = (size_t)(l->pixel * l->height * l->width + REST);
    uint8_t *x = buffer_place(&a->x, bytes, 0);
    int32_t *start = buffer_place(&a->start, (size_t)outputs * sizeof *start, 0);
    for (size_t i = 0; i < bytes; i++)
        x[i] = (uint8_t)random_byte(extreme, 0, 255);
    for (ptrdiff_t i = 0; i < outputs; i++) {
        start[i] = (int32_t)(random_bits() % 100000) - 50000;
        for (ptrdiff_t c = 0; c < l->in; c++)
            for (int tap = 0; tap < 9; tap++)
                l->w[i][c][tap] = (int8_t)random_byte(extreme, -128, 127);
    }
    l->x = x;
    l->start = start;
}

static const int16_t *transformed(arena *a, const layer *l)
{
    ptrdiff_t pairs = (l->in + 1) / 2, outputs = l->vectors * PQC_LANES;
    size_t bytes = (size_t)(PQC_WINOGRAD_POSITIONS * pairs * outputs * 2) * sizeof(int16_t);
    int16_t *u = buffer_place(&a->u, bytes, 0);
    memset(u, 0, bytes);
    for (ptrdiff_t i = 0; i < outputs; i++)
        for (ptrdiff_t c = 0; c < l->in; c++) {
            int16_t all[PQC_WINOGRAD_POSITIONS];
            pqc_winograd_nhwc_weights(l->w[i][c], all);
            for (ptrdiff_t p = 0; p < PQC_WINOGRAD_POSITIONS; p++)
                u[((p * pairs + c / 2) * outputs + i) * 2 + c % 2] = all[p];
        }
    return u;
}

/* Neighbouring tiles of one row of tiles, from products of tile `from` on. */
static void check_sums(arena *a, const layer *l, const int32_t *m, ptrdiff_t m_position,
                       ptrdiff_t down, ptrdiff_t from, ptrdiff_t tiles)
{
    enum { SIDE = PQC_WINOGRAD_SIDE };
    ptrdiff_t outputs = l->vectors * PQC_LANES, to_row = SIDE * tiles * outputs + 16;
    int32_t *sums = buffer_place(&a->sums, (size_t)(SIDE * to_row - 16) * sizeof *sums, 0);
    pqc.winograd_nhwc->sums(m, m_position, l->vectors, tiles, l->start, sums, to_row);
    ptrdiff_t rows = pqc_min(SIDE, l->height - 2 - SIDE * down);
    ptrdiff_t columns = pqc_min(SIDE * tiles, l->width - 2 - SIDE * from);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t k = 0; k < columns; k++)
            for (ptrdiff_t c = 0; c < outputs; c++) {
                int32_t got = sums[i * to_row + k * outputs + c];
                CHECK(got == expect(l, SIDE * down + i, SIDE * from + k, c),
                      "%td by %td channels, %td x %td, row %td, column %td, channel %td: %d", l->in,
                      outputs, l->height, l->width, SIDE * down + i, SIDE * from + k, c, got);
            }
    CHECK(buffer_guards_intact(&a->sums), "%td tiles", tiles);
}

/* A run of tiles as a patch takes them. */
static void check_patch(arena *a, const layer *l, const int16_t *u, ptrdiff_t first,
                        ptrdiff_t tiles)
{
    ptrdiff_t k = pqc_winograd_nhwc_k(l->in), outputs = l->vectors * PQC_LANES;
    ptrdiff_t across = pqc_div_round_up(l->width - 2, PQC_WINOGRAD_SIDE);
    pqc_winograd_nhwc_image image = {.x = l->x,
                                     .row = l->width * l->pixel,
                                     .pixel = l->pixel,
                                     .rows = l->height,
                                     .columns = l->width,
                                     .channels = l->in,
                                     .across = across};
    pqc_winograd_nhwc_operands o = {.u = u,
                                    .v_position = tiles * k + 32 * (random_bits() % 2),
                                    .m_position = tiles * outputs + 16 * (random_bits() % 2),
                                    .k = k,
                                    .pairs = (l->in + 1) / 2,
                                    .vectors = l->vectors};
    ptrdiff_t v_words = (PQC_WINOGRAD_POSITIONS - 1) * o.v_position + tiles * k;
    ptrdiff_t m_words = (PQC_WINOGRAD_POSITIONS - 1) * o.m_position + tiles * outputs;
    int16_t *v = buffer_place(&a->v, (size_t)v_words * sizeof *v, 0);
    int32_t *m = buffer_place(&a->m, (size_t)m_words * sizeof *m, 0);
    o.v = v;
    pqc.winograd_nhwc->inputs(&image, first, tiles, o.v_position, v);
    pqc.winograd_nhwc->products(&o, tiles, m);
    CHECK(buffer_guards_intact(&a->v) && buffer_guards_intact(&a->m), "%td tiles", tiles);
    for (ptrdiff_t done = 0, now; done < tiles; done += now) {
        ptrdiff_t down = (first + done) / across, from = (first + done) % across;
        now = pqc_min(across - from, tiles - done);
        check_sums(a, l, m + done * outputs, o.m_position, down, from, now);
    }
}

static void arena_each(arena *a, void (*visit)(buffer *))
{
    buffer *all[] = {&a->x, &a->v, &a->u, &a->m, &a->start, &a->sums};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        visit(all[i]);
}

void test_winograd_nhwc(void)
{
    static const ptrdiff_t channels[] = {1, 2, 3, 16, 17, 30, 32, 33, 48, 64, MAX_CHANNELS};
    static layer l;
    arena a;
    if (pqc.winograd_nhwc == NULL)
        return;
    CHECK(pqc_winograd_fits(4, 131586) && !pqc_winograd_fits(4, 131587),
          "64 * 255 * the sum of weights within 31 bits");
    arena_each(&a, buffer_open);
    for (int i = 0; i < CASES; i++) {
        l.in = channels[i % 11];
        l.pixel = l.in + random_bits() % 3;
        l.height = 3 + random_bits() % 7;
        l.width = 3 + random_bits() % (WIDEST - 2);
        l.vectors = 1 + i % 4;
        make_layer(&a, &l, i % 3 == 0);
        const int16_t *u = transformed(&a, &l);
        ptrdiff_t all = pqc_div_round_up(l.height - 2, PQC_WINOGRAD_SIDE) *
                        pqc_div_round_up(l.width - 2, PQC_WINOGRAD_SIDE);
        ptrdiff_t first = random_bits() % all;
        check_patch(&a, &l, u, 0, all);
        check_patch(&a, &l, u, first, all - first);
    }
    arena_each(&a, buffer_close);
}
