#include "conv_work.h"
#include "parallel.h"

/* A strip of pixels is multiplied with all output channels, 32 of each at a time.  Where no 16 quads lie equally apart its
 * bytes are put together in a panel first.  If the weights stay in the second cache the panel should stay in the first; if
 * not, few strips mean reading them few times. */
enum {
    MOST_STRIP = PQC_STRIP / PQC_SIDE,
    PANEL_BYTES = 32 << 10,
    LARGE_PANEL_BYTES = 512 << 10,
    SECOND_CACHE = 1 << 20,
    TASKS = 8 /* of an image at least, if it has so many blocks */
};

/* Pixels are taken in lines, 16 at a time.  Quads: a line is a layer with its borders, whose sums are not put anywhere;
 * columns: a row.  Where more than half would be borders: pixel by pixel, all in one line. */
typedef struct {
    ptrdiff_t lines, length;  /* pixels of a line */
    ptrdiff_t of_line, tiles; /* of 16 pixels: of a line, of all */
    ptrdiff_t strip, strips;  /* tiles of a strip, at most; strips */
    ptrdiff_t pairs, parts;   /* of output channels: 32 each, and in how many tasks */
    bool gathered;
    bool direct; /* without a panel */
} layout;

typedef struct {
    const pqc_conv_work *w;
    const pqc_matrix_unit *unit;
    layout l;
} job;

static layout layout_of(const pqc_conv_plan *plan, const pqc_conv_view *view,
                        const pqc_conv_range range[PQC_AXES], ptrdiff_t k)
{
    ptrdiff_t layers = range[0].count, rows = range[1].count, width = range[2].count;
    ptrdiff_t with_borders = (rows - 1) * pqc_conv_pitch(view, 1) + width;
    layout l = {.pairs = pqc_divided_up(plan->shape.out, PQC_PAIR)};
    l.gathered = !plan->shape.columns && with_borders > 2 * rows * width;
    l.lines = l.gathered ? 1 : plan->shape.columns ? layers * rows : layers;
    l.length = l.gathered ? layers * rows * width : plan->shape.columns ? width : with_borders;
    l.of_line = pqc_divided_up(l.length, PQC_SIDE);
    l.tiles = l.lines * l.of_line;
    l.direct = !plan->shape.columns && !l.gathered && view->quads % PQC_SIDE == 0;
    bool large = plan->lanes * k * 4 > SECOND_CACHE;
    ptrdiff_t most =
        l.direct ? MOST_STRIP : (large ? LARGE_PANEL_BYTES : PANEL_BYTES) / (4 * PQC_SIDE * k + 1);
    l.strips = pqc_divided_up(l.tiles, pqc_clamped(most / 2 * 2, 2, MOST_STRIP));
    ptrdiff_t wanted = pqc_least(TASKS / (plan->shape.groups * l.pairs), l.tiles / 4);
    l.strips = pqc_clamped(wanted, l.strips, PTRDIFF_MAX);
    l.strip = pqc_divided_up(pqc_divided_up(l.tiles, l.strips), 2) * 2;
    l.strips = pqc_divided_up(l.tiles, l.strip);
    l.parts = pqc_clamped(TASKS / (l.strips * plan->shape.groups), 1, l.pairs);
    return l;
}

/* Of all pieces, the tasks and bytes of the one that has the most. */
pqc_conv_unit_needs pqc_conv_unit_need(const pqc_conv_plan *plan, const pqc_conv_view *view)
{
    pqc_conv_unit_needs need = {0, 0};
    for (ptrdiff_t i = 0; i < plan->pieces; i++) {
        const pqc_conv_piece *piece = &plan->piece[i];
        pqc_conv_range range[PQC_AXES];
        pqc_conv_ranges(plan, view, piece, range);
        if (range[0].count * range[1].count * range[2].count == 0)
            continue;
        layout l = layout_of(plan, view, range, piece->k);
        ptrdiff_t tasks = plan->shape.groups * l.strips * l.parts;
        ptrdiff_t panels = l.direct ? 0 : pqc_least(l.strip, l.tiles);
        ptrdiff_t bytes = panels * piece->k * 4 * PQC_SIDE;
        need.tasks = tasks > need.tasks ? tasks : need.tasks;
        need.bytes = bytes > need.bytes ? bytes : need.bytes;
    }
    return need;
}

/* Results of `count` pixels from place `from` on; with those before, if they follow them. */
static int add_put(const pqc_conv_work *w, pqc_put *put, int puts, int from, int count,
                   ptrdiff_t to)
{
    if (puts > 0 && from % PQC_SIDE != 0 && w->range[2].step == 1) {
        pqc_put *last = put + puts - 1;
        if (last->from + last->count == from && last->to + last->count == to) {
            last->count += count;
            return puts;
        }
    }
    put[puts] = (pqc_put){from, count, to};
    return puts + 1;
}

/* Pixels from `first` on of a line with rows `pitch` long, of which range[2].count count. */
static int row_puts(const pqc_conv_work *w, ptrdiff_t line, ptrdiff_t first, ptrdiff_t end,
                    ptrdiff_t pitch, int from, pqc_put *put, int puts)
{
    ptrdiff_t width = w->range[2].count, rows = w->range[1].count;
    for (ptrdiff_t at = first; at < end;) {
        ptrdiff_t row = at / pitch, x = at % pitch;
        ptrdiff_t count = pqc_least(width, x + end - at) - x;
        if (count > 0)
            puts = add_put(w, put, puts, from + (int)(at - first), (int)count,
                           pqc_conv_output(w, line + row / rows, row % rows, x));
        at += pitch - x;
    }
    return puts;
}

static int puts_of(const job *j, ptrdiff_t tile, int from, pqc_put *put, int puts)
{
    const pqc_conv_work *w = j->w;
    ptrdiff_t line = tile / j->l.of_line, first = tile % j->l.of_line * PQC_SIDE;
    ptrdiff_t end = pqc_least(first + PQC_SIDE, j->l.length), rows = w->range[1].count;
    if (!w->plan->shape.columns)
        return row_puts(w, line, first, end,
                        j->l.gathered ? w->range[2].count : pqc_conv_pitch(w->view, 1), from, put,
                        puts);
    return add_put(w, put, puts, from, (int)(end - first),
                   pqc_conv_output(w, line / rows, line % rows, first));
}

/* The image's bytes from which a tile's pixels are counted on. */
static const uint8_t *pixels_at(const job *j, const uint8_t *x, ptrdiff_t tile)
{
    const pqc_conv_work *w = j->w;
    const pqc_conv_axis *axis = w->plan->shape.axis;
    ptrdiff_t line = tile / j->l.of_line, first = tile % j->l.of_line * PQC_SIDE;
    ptrdiff_t row = pqc_conv_pitch(w->view, 1), layer = pqc_conv_pitch(w->view, 0);
    if (j->l.gathered)
        return x;
    if (!w->plan->shape.columns)
        return x + 4 * (line * layer + first);
    ptrdiff_t z = line / w->range[1].count, y = line % w->range[1].count;
    return x + z * axis[0].stride * layer + y * axis[1].stride * row + first * axis[2].stride;
}

static void fill_panel(const job *j, const uint8_t *x, ptrdiff_t tile, uint8_t *panel)
{
    const pqc_conv_work *w = j->w;
    const pqc_conv_axis *along = &w->plan->shape.axis[2];
    ptrdiff_t first = tile % j->l.of_line * PQC_SIDE;
    int32_t pixel[PQC_SIDE] = {0};
    pqc_panel p = {.offset = w->offset, .k = w->piece->k};
    if (j->l.gathered) {
        pqc_conv_pixels(w, first, (int)pqc_least(PQC_SIDE, j->l.length - first), pixel);
        p.pixel = pixel;
    } else if (w->plan->shape.columns) {
        p.stride = (int)along->stride;
        p.dilation = (int)along->dilation;
    }
    j->unit->panel(&p, pixels_at(j, x, tile), panel);
}

/* Tiles of pixels whose sums are put together. */
typedef struct {
    const uint8_t *x;     /* the group's image */
    const uint8_t *panel; /* if it is not direct */
    ptrdiff_t first, tiles;
    pqc_put put[PQC_STRIP]; /* so many if each pixel stands alone */
    int puts;
} strip;

static pqc_unit_pixels pixels_of(const job *j, const strip *s, ptrdiff_t i)
{
    int blocks = (int)pqc_least(s->tiles - i, 2);
    if (!j->l.direct) {
        ptrdiff_t tile = 4 * PQC_SIDE * j->w->piece->k;
        return (pqc_unit_pixels){s->panel + i * tile, NULL, 4 * PQC_SIDE, tile, blocks};
    }
    const uint8_t *x = pixels_at(j, s->x, s->first + i);
    const uint8_t *next = pixels_at(j, s->x, s->first + i + blocks - 1);
    return (pqc_unit_pixels){x, j->w->offset, 4 * j->w->view->plane, next - x, blocks};
}

/* A part of the output channels of a group. */
static void multiply(const job *j, const strip *s, ptrdiff_t group, ptrdiff_t part)
{
    _Alignas(64) int32_t sums[PQC_PAIR * PQC_SUMS_PITCH]; /* vectors may begin anywhere */
    const pqc_conv_work *w = j->w;
    const pqc_conv_plan *plan = w->plan;
    ptrdiff_t k = w->piece->k, out = plan->shape.out;
    ptrdiff_t block = pqc_conv_stored_steps(&plan->shape, k) / PQC_SIDE * PQC_TILE_BYTES;
    ptrdiff_t first = pqc_part_begin(j->l.pairs, j->l.parts, part);
    ptrdiff_t end = pqc_part_begin(j->l.pairs, j->l.parts, part + 1);
    for (ptrdiff_t n = first; n < end; n++) {
        ptrdiff_t pair = pqc_turned(first, end, w->backwards, n);
        ptrdiff_t channel = PQC_PAIR * pair, left = pqc_least(out - channel, PQC_PAIR);
        ptrdiff_t sum = group * plan->lanes + channel, output = group * out + channel;
        const int8_t *weights = w->piece->w + sum / PQC_SIDE * block;
        for (ptrdiff_t i = 0; i < s->tiles; i += 2) {
            pqc_unit_pixels pixels = pixels_of(j, s, i);
            j->unit->columns(weights, left > PQC_SIDE ? 2 : 1, &pixels, k, sums + PQC_SIDE * i);
        }
        pqc_unit_to to = {.start = w->call->q.zero != 0 ? w->piece->start + sum : plan->zeros,
                          .scale = w->scale + output,
                          .bias = w->bias + output,
                          .put = s->put,
                          .puts = s->puts,
                          .step = w->range[2].step,
                          .pitch = w->view->outputs,
                          .stream = w->stream};
        j->unit->put(&to, sums, (int)left, w->y + output * w->view->outputs);
    }
}

static void begin_strip(const job *j, strip *s, ptrdiff_t group, ptrdiff_t number, uint8_t *panel)
{
    const pqc_conv_view *view = j->w->view;
    s->x = j->w->bytes + group * view->quads * view->plane * view->element;
    s->panel = panel;
    s->first = number * j->l.strip;
    s->tiles = pqc_least(j->l.strip, j->l.tiles - s->first);
    s->puts = 0;
    for (ptrdiff_t i = 0; i < s->tiles; i++) {
        s->puts = puts_of(j, s->first + i, (int)i * PQC_SIDE, s->put, s->puts);
        if (!j->l.direct)
            fill_panel(j, s->x, s->first + i, panel + 4 * PQC_SIDE * j->w->piece->k * i);
    }
}

/* Tasks are numbered group, strip, part with the part fastest: a thread begins a strip once for several parts. */
static void run_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    ptrdiff_t slot = pqc_slots_take(j->w->scratch), begun = -1;
    strip s;
    j->unit->begin(j->w->piece->k, PQC_SIDE);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t task = pqc_turned(begin, end, j->w->backwards, i);
        ptrdiff_t number = task / j->l.parts, group = number / j->l.strips;
        if (number != begun)
            begin_strip(j, &s, group, number % j->l.strips, pqc_slots_memory(j->w->scratch, slot));
        begun = number;
        multiply(j, &s, group, task % j->l.parts);
    }
    j->unit->end();
    pqc_slots_give(j->w->scratch, slot);
}

void pqc_conv_unit(const pqc_conv_work *w)
{
    job j = {w, w->plan->shape.unit, layout_of(w->plan, w->view, w->range, w->piece->k)};
    ptrdiff_t tasks = w->plan->shape.groups * j.l.strips * j.l.parts;
    ptrdiff_t products =
        j.l.tiles * PQC_SIDE * w->piece->k * 4 * w->plan->lanes * w->plan->shape.groups;
    pqc_parallel_turned(tasks, products, PQC_UNIT_GRAIN, w->backwards, run_tasks, &j);
}
