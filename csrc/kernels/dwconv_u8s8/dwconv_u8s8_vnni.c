/* Depthwise convolution of float32 planes that are quantised to bytes on the way, to float32 CHW, with AVX-512 VNNI;
 * see dwconv_u8s8.h. */
#include "dwconv_u8s8_vnni.h"

#if PQC_X86
#include "pack_u8/pack_u8_avx512.h"

/* Padded rows are quantised to bytes, those of several small channels or of a part of a large one, and multiplied
 * while they are in L1.  TOGETHER: bytes that make a batch of small channels worthwhile. */
enum { ROOM = 16384, TOGETHER = 4096 };

/* The padded rows that some output rows need: how many lie above the image, `rows` of the image from number `low`,
 * and how many lie below it. */
typedef struct {
    ptrdiff_t above, low, rows, below;
} padded;

static inline padded padded_of(const pqc_dwconv_params *p, int K, int S, ptrdiff_t first,
                               ptrdiff_t count)
{
    ptrdiff_t begin = first * S - p->top, end = begin + (count - 1) * S + K;
    ptrdiff_t low = pqc_clamp(begin, 0, p->height), high = pqc_clamp(end, low, p->height);
    ptrdiff_t above = pqc_clamp(-begin, 0, end - begin);
    return (padded){above, low, high - low, end - begin - above - (high - low)};
}

static inline ptrdiff_t step_of(const pqc_dwconv_params *p, padded r)
{
    return (r.above + r.rows + r.below) * p->width;
}

static void set_zeros(const pqc_dwconv_params *p, padded r, ptrdiff_t channels, uint8_t *room)
{
    for (ptrdiff_t i = 0; i < channels; i++, room += step_of(p, r)) {
        memset(room, p->q.zero, (size_t)(r.above * p->width));
        memset(room + (r.above + r.rows) * p->width, p->q.zero, (size_t)(r.below * p->width));
    }
}

static unsigned set_bytes(const pqc_dwconv_params *p, padded r, uint8_t *room)
{
    return pqc_pack_u8_avx512(&(pqc_u8_rows){.x = p->x + r.low * p->width,
                                             .y = room + r.above * p->width,
                                             .x_row = p->height * p->width,
                                             .y_row = step_of(p, r),
                                             .rows = p->channels,
                                             .n = r.rows * p->width,
                                             .q = p->q});
}

/* `count` output rows from `first`, of all channels. */
INLINE unsigned store_rows(const pqc_dwconv_params *p, const row_layout *l, uint8_t *room, padded r,
                           const int K, const int S, const bool SAME, ptrdiff_t first,
                           ptrdiff_t count)
{
    const ptrdiff_t inputs = r.rows * p->width, made = count * p->out_width, step = step_of(p, r);
    pqc_dwconv_params one = *p;
    outputs to = {.x = room, .pitch = p->width, .width = p->out_width, .height = count};
    unsigned flags = set_bytes(p, r, room);
    for (ptrdiff_t i = 0; i < p->channels; i++) {
        channel c;
        set_channel(&one, l, K, &c);
        to.y = one.to.y + first * to.width;
        if (p->prefetch) {
            to.next_x =
                (uintptr_t)(one.x + r.low * p->width) - 4 * (uintptr_t)(p->channels * inputs);
            to.next_y = (uintptr_t)to.y - 4 * (uintptr_t)(p->channels * made);
        }
        if (count < ROWS)
            store_outputs(to, l, &c, 1, K, S, SAME);
        else
            store_outputs(to, l, &c, ROWS, K, S, SAME);
        to.x += step;
        pqc_dwconv_move(&one, 1);
    }
    return flags;
}

/* From the last channel to the first, here and below: what was read last, for the amax, may still be cached. */
INLINE unsigned store_small(const pqc_dwconv_params *p, const row_layout *l, uint8_t *room,
                            const int K, const int S, const bool SAME)
{
    pqc_dwconv_params some = *p;
    padded r = padded_of(p, K, S, 0, p->out_height);
    ptrdiff_t most = TOGETHER / step_of(p, r);
    unsigned flags = 0;
    some.channels = 0;
    set_zeros(p, r, pqc_clamp(most, 1, p->channels), room);
    pqc_dwconv_move(&some, p->channels);
    for (ptrdiff_t left = p->channels; left > 0; left -= some.channels) {
        some.channels = pqc_clamp(most, 1, left);
        pqc_dwconv_move(&some, -some.channels);
        flags |= store_rows(&some, l, room, r, K, S, SAME, 0, p->out_height);
    }
    return flags;
}

INLINE unsigned store_large(const pqc_dwconv_params *p, const row_layout *l, uint8_t *room,
                            const int K, const int S, const bool SAME)
{
    const ptrdiff_t most = ((ROOM / p->width - K) / S + 1) / ROWS * ROWS;
    const ptrdiff_t parts = pqc_div_round_up(p->out_height, most);
    pqc_dwconv_params one = *p;
    unsigned flags = 0;
    one.channels = 1;
    pqc_dwconv_move(&one, p->channels);
    for (ptrdiff_t i = 0; i < p->channels; i++) {
        pqc_dwconv_move(&one, -1);
        for (ptrdiff_t part = parts - 1; part >= 0; part--) {
            ptrdiff_t first = part * most, count = pqc_min(p->out_height - first, most);
            if (part > 0 && count < ROWS) {
                count = ROWS;
                first = p->out_height - count;
            }
            padded r = padded_of(p, K, S, first, count);
            set_zeros(p, r, 1, room);
            flags |= store_rows(&one, l, room, r, K, S, SAME, first, count);
        }
    }
    return flags;
}

/* The flags of the inputs that outputs really use: others were quantised, too. */
static unsigned used_flags(const pqc_dwconv_params *p, uint8_t *room)
{
    ptrdiff_t rows = (p->out_height - 1) * p->stride + p->kernel - p->top;
    ptrdiff_t width = pqc_dwconv_padded_width(p) - p->left;
    unsigned flags = 0;
    for (ptrdiff_t i = 0; i < p->channels; i++)
        flags |= pqc_pack_u8_exact_avx512(&(pqc_u8_rows){.x = p->x + i * p->height * p->width,
                                                         .y = room,
                                                         .x_row = p->width,
                                                         .rows = pqc_clamp(rows, 0, p->height),
                                                         .n = pqc_clamp(width, 0, p->width),
                                                         .q = p->q});
    return flags;
}

INLINE unsigned planes(const pqc_dwconv_params *p, const int K, const int S, const bool SAME)
{
    _Alignas(64) uint8_t memory[BEFORE + ROOM + BEHIND];
    uint8_t *room = memory + BEFORE;
    row_layout l;
    bool small = ((p->out_height - 1) * S + K) * p->width <= ROOM;
    lay_out(p, S, SAME, &l);
    unsigned flags =
        small ? store_small(p, &l, room, K, S, SAME) : store_large(p, &l, room, K, S, SAME);
    return flags != 0 ? used_flags(p, room) : 0;
}

/* With the same 16 bytes in all lanes a tile has 14 pixels instead of 16, at five sixths of the work. */
VNNI static unsigned planes3(const pqc_dwconv_params *p)
{
    ptrdiff_t same = pqc_div_round_up(p->out_width, 14), own = pqc_div_round_up(p->out_width, 16);
    return p->stride == 2        ? planes(p, 3, 2, false)
           : 5 * same <= 6 * own ? planes(p, 3, 1, true)
                                 : planes(p, 3, 1, false);
}

VNNI static unsigned planes5(const pqc_dwconv_params *p)
{
    return p->stride == 1 ? planes(p, 5, 1, false) : planes(p, 5, 2, false);
}

VNNI static unsigned planes7(const pqc_dwconv_params *p)
{
    return p->stride == 1 ? planes(p, 7, 1, false) : planes(p, 7, 2, false);
}

VNNI unsigned pqc_dwconv_u8s8_vnni(const pqc_dwconv_params *p)
{
    return p->kernel == 3 ? planes3(p) : p->kernel == 5 ? planes5(p) : planes7(p);
}

#endif
