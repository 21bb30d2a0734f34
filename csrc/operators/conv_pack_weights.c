#include "conv_pack_weights.h"

#include "dispatch.h"

#include <string.h>

enum { MOST_PIECES = 1 << 20 };

static ptrdiff_t lanes_of(const pqc_conv_shape *shape)
{
    return (shape->out + 15) / 16 * 16;
}

static ptrdiff_t pieces_of(const pqc_conv_shape *shape)
{
    ptrdiff_t pieces = 1;
    for (int axis = 0; axis < PQC_AXES; axis++)
        pieces *= pqc_conv_axis_pieces(shape, axis);
    return pieces;
}

/* In columns four taps along a row are one step. */
static ptrdiff_t steps_along(const pqc_conv_shape *shape, int axis, ptrdiff_t taps)
{
    return shape->columns && axis == PQC_AXES - 1 ? (taps + 3) / 4 : taps;
}

/* Fills everything of a piece but its pointers. */
static void piece_init(pqc_conv_piece *piece, const pqc_conv_shape *shape, ptrdiff_t number,
                       bool wide)
{
    piece->k = (shape->columns ? shape->in : (shape->in + 3) / 4) * (wide ? 3 : 1);
    for (int axis = PQC_AXES - 1; axis >= 0; axis--) {
        ptrdiff_t count = pqc_conv_axis_pieces(shape, axis);
        piece->index[axis] = number % count;
        piece->taps[axis] = pqc_conv_axis_taps(shape, axis, piece->index[axis]);
        piece->k *= steps_along(shape, axis, piece->taps[axis].count);
        number /= count;
    }
    piece->chunks = piece->k > PQC_CHUNK ? (piece->k + PQC_CHUNK - 1) / PQC_CHUNK : 1;
}

static ptrdiff_t weight_bytes(const pqc_conv_shape *shape, const pqc_conv_piece *piece)
{
    return pqc_aligned(shape->groups * pqc_conv_stored_steps(shape, piece->k) * lanes_of(shape) *
                       4);
}

static ptrdiff_t sum_bytes(const pqc_conv_shape *shape, const pqc_conv_piece *piece)
{
    return pqc_aligned(shape->groups * piece->chunks * lanes_of(shape) * 4);
}

/* Of chunks no rows are left out. */
static ptrdiff_t before_bytes(const pqc_conv_shape *shape, const pqc_conv_piece *piece, bool wide)
{
    if (!pqc_conv_by_rows(shape, wide ? 3 : 1) || piece->chunks > 1)
        return 0;
    return pqc_aligned(shape->groups * (piece->taps[1].count + 1) * lanes_of(shape) * 4);
}

static ptrdiff_t common_bytes(const pqc_conv_shape *shape)
{
    return pqc_aligned(pieces_of(shape) * (ptrdiff_t)sizeof(pqc_conv_piece)) +
           pqc_aligned(shape->groups * shape->out * (ptrdiff_t)sizeof(double)) +
           pqc_aligned(lanes_of(shape) * (ptrdiff_t)sizeof(int32_t));
}

bool pqc_conv_wants_columns(const pqc_conv_shape *shape)
{
    const pqc_conv_axis *row = &shape->axis[PQC_AXES - 1];
    double taps = (double)shape->axis[0].kernel * (double)shape->axis[1].kernel;
    double columns = taps * (double)((row->kernel + 3) / 4) * (double)shape->in;
    double quads = taps * (double)row->kernel * (double)((shape->in + 3) / 4);
    return !shape->transposed && row->stride + row->dilation <= PQC_COLUMNS_REACH &&
           (columns < quads || shape->in == 1) && 3 * columns <= PQC_CHUNK;
}

/* Steps of which a tile takes 16 at a time, however many there are: with fewer than these vectors are faster. */
enum { LEAST_UNIT_STEPS = 8 };

const pqc_matrix_unit *pqc_conv_wanted_unit(const pqc_conv_shape *shape, bool wide)
{
    pqc_conv_piece piece;
    piece_init(&piece, shape, 0, wide);
    bool depthwise = shape->columns && shape->groups > 1;
    return wide || depthwise || piece.k < LEAST_UNIT_STEPS || piece.chunks > 1 ? NULL : pqc.unit;
}

ptrdiff_t pqc_conv_plan_bytes(const pqc_conv_shape *shape, bool wide)
{
    double estimate = (double)shape->groups * (double)lanes_of(shape) * (double)(shape->in + 3) * 3;
    double pieces = 1.0;
    for (int axis = 0; axis < PQC_AXES; axis++) {
        const pqc_conv_axis *a = &shape->axis[axis];
        double of_axis = (double)pqc_conv_axis_pieces(shape, axis);
        if (a->kernel > INT32_MAX || (shape->transposed && of_axis * (double)a->kernel > 0x1p26))
            return -1;
        pieces *= of_axis;
        estimate *= (double)a->kernel * of_axis;
    }
    if (estimate > 0x1p60 || pieces > MOST_PIECES)
        return -1;
    ptrdiff_t bytes = common_bytes(shape);
    for (ptrdiff_t i = 0; i < pieces_of(shape); i++) {
        pqc_conv_piece piece;
        piece_init(&piece, shape, i, wide);
        bytes += weight_bytes(shape, &piece) + 2 * sum_bytes(shape, &piece) +
                 before_bytes(shape, &piece, wide);
    }
    return bytes;
}

/* Part 0, 1 or 2 of a weight that may be above 127. */
static int8_t part_of(int weight, ptrdiff_t part)
{
    for (; part > 0; part--)
        weight -= weight > 127 ? 127 : weight;
    return (int8_t)(weight > 127 ? 127 : weight);
}

static ptrdiff_t tap_number(const pqc_conv_shape *s, const pqc_conv_piece *piece, ptrdiff_t i)
{
    ptrdiff_t number = 0, pitch = 1;
    for (int axis = PQC_AXES - 1; axis >= 0; axis--) {
        const pqc_conv_taps *taps = &piece->taps[axis];
        number += (taps->first + i % taps->count * taps->step) * pitch;
        pitch *= s->axis[axis].kernel;
        i /= taps->count;
    }
    return number;
}

/* Where the weights of a step lie: `count` of them `apart` elements from each other, from `first` on for output channel
 * 0, and `next` elements further for every other channel.  The rest of the four are zeros. */
typedef struct {
    ptrdiff_t first, apart, next, count;
} step_weights;

static step_weights weights_of_step(const pqc_conv_plan *plan, const pqc_conv_piece *piece,
                                    ptrdiff_t group, ptrdiff_t step)
{
    const pqc_conv_shape *s = &plan->shape;
    ptrdiff_t taps = s->axis[0].kernel * s->axis[1].kernel * s->axis[2].kernel;
    ptrdiff_t row = piece->taps[2].count, along = steps_along(s, 2, row);
    ptrdiff_t rows = piece->taps[1].count, layers = piece->taps[0].count;
    ptrdiff_t quads = (s->in + 3) / 4, number, quad;
    if (pqc_conv_by_rows(s, plan->parts)) {
        ptrdiff_t layer = step / row % layers;
        quad = step / (row * layers) % quads;
        number = (layer * rows + step / (row * layers * quads)) * row + step % row;
    } else {
        ptrdiff_t numbers = layers * rows * along, chunk = pqc_conv_chunk(s, quads, 0);
        ptrdiff_t begin = step / (chunk * numbers) * chunk, rest = step - begin * numbers;
        chunk = pqc_conv_chunk(s, quads, begin);
        number = rest / chunk;
        quad = begin + rest % chunk;
    }
    if (s->columns) {
        ptrdiff_t x = number % along * 4, channel = group * s->out * s->in + quad % s->in;
        return (step_weights){channel * taps + number / along * row + x, 1, s->in * taps,
                              pqc_least(row - x, 4)};
    }
    ptrdiff_t in = quad % quads * 4, tap = tap_number(s, piece, number);
    if (s->transposed)
        return (step_weights){(group * s->in + in) * s->out * taps + tap, s->out * taps, taps,
                              pqc_least(s->in - in, 4)};
    return (step_weights){(group * s->out * s->in + in) * taps + tap, taps, s->in * taps,
                          pqc_least(s->in - in, 4)};
}

/* Where the four weights of a step lie for an output channel. */
static int8_t *place_of(const pqc_conv_plan *plan, const pqc_conv_piece *piece, ptrdiff_t group,
                        ptrdiff_t step, ptrdiff_t channel)
{
    ptrdiff_t stored = pqc_conv_stored_steps(&plan->shape, piece->k);
    int8_t *w = piece->w + group * stored * plan->lanes * 4;
    if (pqc_conv_in_tiles(&plan->shape)) {
        ptrdiff_t tile = channel / PQC_SIDE * (stored / PQC_SIDE) + step / PQC_SIDE;
        return w + tile * PQC_TILE_BYTES + channel % PQC_SIDE * 4 * PQC_SIDE + step % PQC_SIDE * 4;
    }
    ptrdiff_t most = plan->shape.unit ? PQC_LANES : PQC_BLOCK_CHANNELS;
    ptrdiff_t first = channel / most * most, width = pqc_least(plan->lanes - first, most);
    return w + (first * stored + step * width + channel - first) * 4;
}

/* Where the sums of a step's row of taps are, for the time being without the rows in front; or NULL. */
static int32_t *row_of(const pqc_conv_plan *plan, const pqc_conv_piece *piece, ptrdiff_t group,
                       ptrdiff_t step)
{
    ptrdiff_t rows = piece->taps[1].count;
    if (piece->before == NULL)
        return NULL;
    return piece->before +
           (group * (rows + 1) + step / pqc_conv_row_steps(piece) + 1) * plan->lanes;
}

static void add_rows_in_front(const pqc_conv_plan *plan, const pqc_conv_piece *piece)
{
    ptrdiff_t numbers = (piece->taps[1].count + 1) * plan->lanes;
    for (ptrdiff_t group = 0; group < plan->shape.groups; group++)
        for (ptrdiff_t i = plan->lanes; i < numbers; i++)
            piece->before[group * numbers + i] += piece->before[group * numbers + i - plan->lanes];
}

/* One group's weights of a piece; all bytes are zeros before. */
static void pack_group(const pqc_conv_plan *plan, const pqc_conv_piece *piece, ptrdiff_t group,
                       const uint8_t *bytes)
{
    const pqc_conv_shape *s = &plan->shape;
    ptrdiff_t part_steps = piece->k / plan->parts;
    int32_t *sums = piece->sum + group * piece->chunks * plan->lanes;
    for (ptrdiff_t first = 0; first < s->out; first += PQC_SIDE) {
        ptrdiff_t filled = pqc_least(s->out - first, PQC_SIDE);
        for (ptrdiff_t step = 0; step < piece->k; step++) {
            step_weights at = weights_of_step(plan, piece, group, step);
            int32_t *sum = sums + step / PQC_CHUNK * plan->lanes + first;
            int8_t *w = place_of(plan, piece, group, step, first);
            ptrdiff_t apart = place_of(plan, piece, group, step, first + 1) - w;
            int32_t *row = row_of(plan, piece, group, step);
            for (ptrdiff_t c = 0; c < filled; c++)
                for (ptrdiff_t i = 0; i < at.count; i++) {
                    uint8_t byte = bytes[at.first + (first + c) * at.next + i * at.apart];
                    int weight = s->is_unsigned || byte < 128 ? byte : byte - 256;
                    int8_t part =
                        plan->parts == 1 ? (int8_t)weight : part_of(weight, step / part_steps);
                    w[c * apart + i] = part;
                    sum[c] += 128 * part;
                    if (row)
                        row[first + c] += 128 * part;
                }
        }
    }
}

static void pack_piece(const pqc_conv_plan *plan, const pqc_conv_piece *piece, const uint8_t *bytes)
{
    ptrdiff_t count = plan->shape.groups * piece->chunks * plan->lanes;
    memset(piece->sum, 0, (size_t)count * sizeof *piece->sum);
    memset(piece->w, 0, (size_t)weight_bytes(&plan->shape, piece));
    if (piece->before)
        memset(piece->before, 0, (size_t)before_bytes(&plan->shape, piece, plan->parts > 1));
    for (ptrdiff_t group = 0; group < plan->shape.groups; group++)
        pack_group(plan, piece, group, bytes);
    if (piece->before)
        add_rows_in_front(plan, piece);
    for (ptrdiff_t i = 0; i < count; i++)
        piece->start[i] = -piece->sum[i];
}

static void invert_scales(pqc_conv_plan *plan, const float *scale)
{
    ptrdiff_t channels = plan->shape.groups * plan->shape.out;
    plan->least = plan->most = 1.0 / (double)scale[0];
    for (ptrdiff_t c = 0; c < channels; c++) {
        double inverse = 1.0 / (double)scale[c];
        plan->inverse[c] = inverse;
        plan->least = inverse < plan->least ? inverse : plan->least;
        plan->most = inverse > plan->most ? inverse : plan->most;
    }
}

/* True if some signed weight is -128. */
static bool has_lowest(const pqc_conv_shape *s, const void *weights)
{
    ptrdiff_t count = s->groups * s->out * s->in;
    for (int axis = 0; axis < PQC_AXES; axis++)
        count *= s->axis[axis].kernel;
    return !s->is_unsigned && memchr(weights, 0x80, (size_t)count) != NULL;
}

static ptrdiff_t heaviest_channel(const pqc_conv_shape *s, const uint8_t *weights)
{
    ptrdiff_t count = s->in, heaviest = 0;
    for (int axis = 0; axis < PQC_AXES; axis++)
        count *= s->axis[axis].kernel;
    for (ptrdiff_t channel = 0; channel < s->groups * s->out; channel++, weights += count) {
        ptrdiff_t sum = 0;
        for (ptrdiff_t i = 0; i < count; i++)
            sum += s->is_unsigned || weights[i] < 128 ? weights[i] : 256 - weights[i];
        heaviest = sum > heaviest ? sum : heaviest;
    }
    return heaviest;
}

static void *take(char **memory, ptrdiff_t bytes)
{
    void *at = *memory;
    *memory += pqc_aligned(bytes);
    return at;
}

void pqc_conv_plan_init(pqc_conv_plan *plan, const pqc_conv_shape *shape, bool wide, void *memory,
                        const void *weights, const float *scale)
{
    char *at = memory;
    plan->shape = *shape;
    plan->lanes = lanes_of(shape);
    plan->parts = wide ? 3 : 1;
    plan->lowest = has_lowest(shape, weights);
    plan->heaviest = shape->transposed ? 0 : heaviest_channel(shape, weights);
    plan->pieces = pieces_of(shape);
    plan->piece = take(&at, plan->pieces * (ptrdiff_t)sizeof *plan->piece);
    plan->inverse = take(&at, shape->groups * shape->out * (ptrdiff_t)sizeof *plan->inverse);
    plan->zeros = take(&at, plan->lanes * (ptrdiff_t)sizeof *plan->zeros);
    memset(plan->zeros, 0, (size_t)plan->lanes * sizeof *plan->zeros);
    invert_scales(plan, scale);
    for (ptrdiff_t i = 0; i < plan->pieces; i++) {
        pqc_conv_piece *piece = &plan->piece[i];
        piece_init(piece, shape, i, wide);
        piece->w = take(&at, weight_bytes(shape, piece));
        piece->start = take(&at, sum_bytes(shape, piece));
        piece->sum = take(&at, sum_bytes(shape, piece));
        ptrdiff_t bytes = before_bytes(shape, piece, wide);
        piece->before = bytes > 0 ? take(&at, bytes) : NULL;
        pack_piece(plan, piece, weights);
    }
}
