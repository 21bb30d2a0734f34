/* Packs int8 or uint8 convolution weights into panels (see conv_pack_weights.h) and computes their compensations. */
#include "conv_pack_weights.h"

#include "dispatch.h"

#include <string.h>

enum { MAX_SUBCONVS = 1 << 20 };

static ptrdiff_t padded_out_of(const pqc_conv_shape *shape)
{
    return pqc_round_up(shape->out, PQC_LANES);
}

static ptrdiff_t subconvs_of(const pqc_conv_shape *shape)
{
    ptrdiff_t subconvs = 1;
    for (int axis = 0; axis < PQC_AXES; axis++)
        subconvs *= pqc_conv_axis_subconvs(shape, axis);
    return subconvs;
}

/* kr groups along an axis: in tap-packed layers four taps along x make one. */
static ptrdiff_t k_along(const pqc_conv_shape *shape, int axis, ptrdiff_t taps)
{
    return shape->kw4 && axis == PQC_AXES - 1 ? (taps + 3) / 4 : taps;
}

/* Sets every field of a subconvolution except its pointers. */
static void subconv_init(pqc_subconv *sub, const pqc_conv_shape *shape, ptrdiff_t number, bool wide)
{
    sub->k = (shape->kw4 ? shape->in : (shape->in + 3) / 4) * (wide ? 3 : 1);
    for (int axis = PQC_AXES - 1; axis >= 0; axis--) {
        ptrdiff_t count = pqc_conv_axis_subconvs(shape, axis);
        sub->index[axis] = number % count;
        sub->taps[axis] = pqc_conv_axis_taps(shape, axis, sub->index[axis]);
        sub->k *= k_along(shape, axis, sub->taps[axis].count);
        number /= count;
    }
    sub->k_splits = sub->k > PQC_MAX_K ? (sub->k + PQC_MAX_K - 1) / PQC_MAX_K : 1;
}

static ptrdiff_t weight_bytes(const pqc_conv_shape *shape, const pqc_subconv *sub)
{
    return pqc_line_aligned(shape->groups * pqc_conv_stored_k(shape, sub->k) *
                            padded_out_of(shape) * 4);
}

static ptrdiff_t sum_bytes(const pqc_conv_shape *shape, const pqc_subconv *sub)
{
    return pqc_line_aligned(shape->groups * sub->k_splits * padded_out_of(shape) * 4);
}

/* None if K is split: then no kernel rows are skipped. */
static ptrdiff_t row_sums_bytes(const pqc_conv_shape *shape, const pqc_subconv *sub, bool wide)
{
    if (!pqc_conv_k_by_rows(shape, wide ? 3 : 1) || sub->k_splits > 1)
        return 0;
    return pqc_line_aligned(shape->groups * (sub->taps[1].count + 1) * padded_out_of(shape) * 4);
}

static ptrdiff_t common_bytes(const pqc_conv_shape *shape)
{
    return pqc_line_aligned(subconvs_of(shape) * (ptrdiff_t)sizeof(pqc_subconv)) +
           pqc_line_aligned(shape->groups * shape->out * (ptrdiff_t)sizeof(double)) +
           pqc_line_aligned(padded_out_of(shape) * (ptrdiff_t)sizeof(int32_t));
}

bool pqc_conv_wants_kw4(const pqc_conv_shape *shape)
{
    const pqc_conv_axis *row = &shape->axis[PQC_AXES - 1];
    double taps = (double)shape->axis[0].kernel * (double)shape->axis[1].kernel;
    double tap_packed = taps * (double)((row->kernel + 3) / 4) * (double)shape->in;
    double c4_blocks = taps * (double)row->kernel * (double)((shape->in + 3) / 4);
    return !shape->transposed && row->stride + row->dilation <= PQC_KW4_REACH &&
           (tap_packed < c4_blocks || shape->in == 1) && 3 * tap_packed <= PQC_MAX_K;
}

/* A tile takes 16 kr groups even if there are fewer; below this many, vector kernels are faster. */
enum { MIN_AMX_K = 8 };

const pqc_amx_gemm *pqc_conv_wanted_amx(const pqc_conv_shape *shape, bool wide)
{
    pqc_subconv sub;
    subconv_init(&sub, shape, 0, wide);
    bool depthwise = shape->kw4 && shape->groups > 1;
    return wide || depthwise || sub.k < MIN_AMX_K || sub.k_splits > 1 ? NULL : pqc.amx_gemm;
}

ptrdiff_t pqc_packed_weights_bytes(const pqc_conv_shape *shape, bool wide)
{
    double estimate =
        (double)shape->groups * (double)padded_out_of(shape) * (double)(shape->in + 3) * 3;
    double subconvs = 1.0;
    for (int axis = 0; axis < PQC_AXES; axis++) {
        const pqc_conv_axis *a = &shape->axis[axis];
        double of_axis = (double)pqc_conv_axis_subconvs(shape, axis);
        if (a->kernel > INT32_MAX || (shape->transposed && of_axis * (double)a->kernel > 0x1p26))
            return -1;
        subconvs *= of_axis;
        estimate *= (double)a->kernel * of_axis;
    }
    if (estimate > 0x1p60 || subconvs > MAX_SUBCONVS)
        return -1;
    ptrdiff_t bytes = common_bytes(shape);
    for (ptrdiff_t i = 0; i < subconvs_of(shape); i++) {
        pqc_subconv sub;
        subconv_init(&sub, shape, i, wide);
        bytes += weight_bytes(shape, &sub) + 2 * sum_bytes(shape, &sub) +
                 row_sums_bytes(shape, &sub, wide);
    }
    return bytes;
}

/* Weight plane 0, 1 or 2 of a weight that may exceed 127. */
static int8_t weight_plane_of(int weight, ptrdiff_t plane)
{
    for (; plane > 0; plane--)
        weight -= weight > 127 ? 127 : weight;
    return (int8_t)(weight > 127 ? 127 : weight);
}

static ptrdiff_t tap_number(const pqc_conv_shape *s, const pqc_subconv *sub, ptrdiff_t i)
{
    ptrdiff_t number = 0, pitch = 1;
    for (int axis = PQC_AXES - 1; axis >= 0; axis--) {
        const pqc_conv_taps *taps = &sub->taps[axis];
        number += (taps->first + i % taps->count * taps->step) * pitch;
        pitch *= s->axis[axis].kernel;
        i /= taps->count;
    }
    return number;
}

/* Where a kr group's weights lie in the layer's own array: for output channel 0 there are `count` of them from
 * `first`, `pitch` apart; the next output channel's lie `next` further.  Missing ones, up to four, are zeros. */
typedef struct {
    ptrdiff_t first, pitch, next, count;
} group_weights;

static group_weights weights_of_group(const pqc_packed_weights *packed, const pqc_subconv *sub,
                                      ptrdiff_t group, ptrdiff_t kr)
{
    const pqc_conv_shape *s = &packed->shape;
    ptrdiff_t taps = s->axis[0].kernel * s->axis[1].kernel * s->axis[2].kernel;
    ptrdiff_t row = sub->taps[2].count, along = k_along(s, 2, row);
    ptrdiff_t rows = sub->taps[1].count, layers = sub->taps[0].count;
    ptrdiff_t c4_blocks = (s->in + 3) / 4, number, c4;
    if (pqc_conv_k_by_rows(s, packed->weight_planes)) {
        ptrdiff_t layer = kr / row % layers;
        c4 = kr / (row * layers) % c4_blocks;
        number = (layer * rows + kr / (row * layers * c4_blocks)) * row + kr % row;
    } else {
        ptrdiff_t numbers = layers * rows * along, run = pqc_conv_c4_run(s, c4_blocks, 0);
        ptrdiff_t begin = kr / (run * numbers) * run, rest = kr - begin * numbers;
        run = pqc_conv_c4_run(s, c4_blocks, begin);
        number = rest / run;
        c4 = begin + rest % run;
    }
    if (s->kw4) {
        ptrdiff_t x = number % along * 4, channel = group * s->out * s->in + c4 % s->in;
        return (group_weights){channel * taps + number / along * row + x, 1, s->in * taps,
                               pqc_min(row - x, 4)};
    }
    ptrdiff_t in = c4 % c4_blocks * 4, tap = tap_number(s, sub, number);
    if (s->transposed)
        return (group_weights){(group * s->in + in) * s->out * taps + tap, s->out * taps, taps,
                               pqc_min(s->in - in, 4)};
    return (group_weights){(group * s->out * s->in + in) * taps + tap, taps, s->in * taps,
                           pqc_min(s->in - in, 4)};
}

/* Where the four packed weights of a kr group and an output channel go. */
static int8_t *place_of(const pqc_packed_weights *packed, const pqc_subconv *sub, ptrdiff_t group,
                        ptrdiff_t kr, ptrdiff_t channel)
{
    ptrdiff_t stored = pqc_conv_stored_k(&packed->shape, sub->k);
    int8_t *w = sub->w + group * stored * packed->padded_out * 4;
    if (pqc_conv_in_amx_tiles(&packed->shape)) {
        ptrdiff_t tile = channel / PQC_AMX_SIDE * (stored / PQC_AMX_SIDE) + kr / PQC_AMX_SIDE;
        return w + tile * PQC_AMX_TILE_BYTES + channel % PQC_AMX_SIDE * 4 * PQC_AMX_SIDE +
               kr % PQC_AMX_SIDE * 4;
    }
    ptrdiff_t most = packed->shape.amx ? PQC_LANES : PQC_NR;
    ptrdiff_t first = channel / most * most, width = pqc_min(packed->padded_out - first, most);
    return w + (first * stored + kr * width + channel - first) * 4;
}

/* The sums of a kr group's kernel row, or NULL.  They become running sums over rows later, in accumulate_row_sums. */
static int32_t *row_of(const pqc_packed_weights *packed, const pqc_subconv *sub, ptrdiff_t group,
                       ptrdiff_t kr)
{
    ptrdiff_t rows = sub->taps[1].count;
    if (sub->row_sums == NULL)
        return NULL;
    return sub->row_sums + (group * (rows + 1) + kr / pqc_conv_row_k(sub) + 1) * packed->padded_out;
}

static void accumulate_row_sums(const pqc_packed_weights *packed, const pqc_subconv *sub)
{
    ptrdiff_t numbers = (sub->taps[1].count + 1) * packed->padded_out;
    for (ptrdiff_t group = 0; group < packed->shape.groups; group++)
        for (ptrdiff_t i = packed->padded_out; i < numbers; i++)
            sub->row_sums[group * numbers + i] +=
                sub->row_sums[group * numbers + i - packed->padded_out];
}

/* Packs one group of a subconvolution; the memory must be zero. */
static void pack_group(const pqc_packed_weights *packed, const pqc_subconv *sub, ptrdiff_t group,
                       const uint8_t *bytes)
{
    const pqc_conv_shape *s = &packed->shape;
    ptrdiff_t plane_k = sub->k / packed->weight_planes;
    int32_t *sums = sub->weight_sums + group * sub->k_splits * packed->padded_out;
    for (ptrdiff_t first = 0; first < s->out; first += PQC_AMX_SIDE) {
        ptrdiff_t filled = pqc_min(s->out - first, PQC_AMX_SIDE);
        for (ptrdiff_t kr = 0; kr < sub->k; kr++) {
            group_weights at = weights_of_group(packed, sub, group, kr);
            int32_t *sum = sums + kr / PQC_MAX_K * packed->padded_out + first;
            int8_t *w = place_of(packed, sub, group, kr, first);
            ptrdiff_t pitch = place_of(packed, sub, group, kr, first + 1) - w;
            int32_t *row = row_of(packed, sub, group, kr);
            for (ptrdiff_t c = 0; c < filled; c++)
                for (ptrdiff_t i = 0; i < at.count; i++) {
                    uint8_t byte = bytes[at.first + (first + c) * at.next + i * at.pitch];
                    int weight = s->is_unsigned || byte < 128 ? byte : byte - 256;
                    int8_t w8 = packed->weight_planes == 1 ? (int8_t)weight
                                                           : weight_plane_of(weight, kr / plane_k);
                    w[c * pitch + i] = w8;
                    sum[c] += 128 * w8;
                    if (row)
                        row[first + c] += 128 * w8;
                }
        }
    }
}

static void pack_subconv(const pqc_packed_weights *packed, const pqc_subconv *sub,
                         const uint8_t *bytes)
{
    ptrdiff_t count = packed->shape.groups * sub->k_splits * packed->padded_out;
    memset(sub->weight_sums, 0, (size_t)count * sizeof *sub->weight_sums);
    memset(sub->w, 0, (size_t)weight_bytes(&packed->shape, sub));
    if (sub->row_sums)
        memset(sub->row_sums, 0,
               (size_t)row_sums_bytes(&packed->shape, sub, packed->weight_planes > 1));
    for (ptrdiff_t group = 0; group < packed->shape.groups; group++)
        pack_group(packed, sub, group, bytes);
    if (sub->row_sums)
        accumulate_row_sums(packed, sub);
    for (ptrdiff_t i = 0; i < count; i++)
        sub->compensation[i] = -sub->weight_sums[i];
}

static void invert_scales(pqc_packed_weights *packed, const float *scale)
{
    ptrdiff_t channels = packed->shape.groups * packed->shape.out;
    packed->min_inverse = packed->max_inverse = 1.0 / (double)scale[0];
    for (ptrdiff_t c = 0; c < channels; c++) {
        double inverse = 1.0 / (double)scale[c];
        packed->inverse[c] = inverse;
        packed->min_inverse = inverse < packed->min_inverse ? inverse : packed->min_inverse;
        packed->max_inverse = inverse > packed->max_inverse ? inverse : packed->max_inverse;
    }
}

/* True if some signed weight is -128, checked in the layer's own order. */
static bool finds_min_weight(const pqc_conv_shape *s, const void *weights)
{
    ptrdiff_t count = s->groups * s->out * s->in;
    for (int axis = 0; axis < PQC_AXES; axis++)
        count *= s->axis[axis].kernel;
    return !s->is_unsigned && memchr(weights, 0x80, (size_t)count) != NULL;
}

static ptrdiff_t max_weight_sum_of(const pqc_conv_shape *s, const uint8_t *weights)
{
    ptrdiff_t count = s->in, max_weight_sum = 0;
    for (int axis = 0; axis < PQC_AXES; axis++)
        count *= s->axis[axis].kernel;
    for (ptrdiff_t channel = 0; channel < s->groups * s->out; channel++, weights += count) {
        ptrdiff_t sum = 0;
        for (ptrdiff_t i = 0; i < count; i++)
            sum += s->is_unsigned || weights[i] < 128 ? weights[i] : 256 - weights[i];
        max_weight_sum = sum > max_weight_sum ? sum : max_weight_sum;
    }
    return max_weight_sum;
}

static void *take(char **memory, ptrdiff_t bytes)
{
    void *at = *memory;
    *memory += pqc_line_aligned(bytes);
    return at;
}

void pqc_pack_weights(pqc_packed_weights *packed, const pqc_conv_shape *shape, bool wide,
                      void *memory, const void *weights, const float *scale)
{
    char *at = memory;
    packed->shape = *shape;
    packed->padded_out = padded_out_of(shape);
    packed->weight_planes = wide ? 3 : 1;
    packed->has_min_weight = finds_min_weight(shape, weights);
    packed->max_weight_sum = shape->transposed ? 0 : max_weight_sum_of(shape, weights);
    packed->subconvs = subconvs_of(shape);
    packed->sub = take(&at, packed->subconvs * (ptrdiff_t)sizeof *packed->sub);
    packed->inverse = take(&at, shape->groups * shape->out * (ptrdiff_t)sizeof *packed->inverse);
    packed->no_compensation =
        take(&at, packed->padded_out * (ptrdiff_t)sizeof *packed->no_compensation);
    memset(packed->no_compensation, 0,
           (size_t)packed->padded_out * sizeof *packed->no_compensation);
    invert_scales(packed, scale);
    for (ptrdiff_t i = 0; i < packed->subconvs; i++) {
        pqc_subconv *sub = &packed->sub[i];
        subconv_init(sub, shape, i, wide);
        sub->w = take(&at, weight_bytes(shape, sub));
        sub->compensation = take(&at, sum_bytes(shape, sub));
        sub->weight_sums = take(&at, sum_bytes(shape, sub));
        ptrdiff_t bytes = row_sums_bytes(shape, sub, wide);
        sub->row_sums = bytes > 0 ? take(&at, bytes) : NULL;
        pack_subconv(packed, sub, weights);
    }
}

ptrdiff_t pqc_zero_point_bytes(const pqc_packed_weights *packed)
{
    ptrdiff_t bytes = pqc_line_aligned(packed->subconvs * (ptrdiff_t)sizeof *packed->sub);
    for (ptrdiff_t i = 0; i < packed->subconvs; i++)
        bytes += sum_bytes(&packed->shape, &packed->sub[i]);
    return bytes;
}

void pqc_with_zero_point(pqc_packed_weights *made, const pqc_packed_weights *packed, int32_t zero,
                         void *memory)
{
    char *at = memory;
    ptrdiff_t subs = packed->subconvs * (ptrdiff_t)sizeof *packed->sub;
    *made = *packed;
    made->sub = take(&at, subs);
    memcpy(made->sub, packed->sub, (size_t)subs);
    for (ptrdiff_t i = 0; i < packed->subconvs; i++) {
        ptrdiff_t bytes = sum_bytes(&packed->shape, &packed->sub[i]);
        int32_t *compensation = take(&at, bytes);
        for (ptrdiff_t c = 0; c < bytes / (ptrdiff_t)sizeof *compensation; c++)
            compensation[c] = -(packed->sub[i].weight_sums[c] / 128) * zero;
        made->sub[i].compensation = compensation;
    }
}
