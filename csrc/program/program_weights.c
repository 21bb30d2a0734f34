#include "program_weights.h"

#include "cache_sizes.h"

#include <math.h>
#include <string.h>

enum { MAX_CHANNELS = 1 << 24, MAX_KERNEL = 1 << 15 };

const char *pqc_weights_check(const pqc_weights_shape *s)
{
    if (s->groups < 1 || s->out < 1 || s->in < 1 || s->kh < 1 || s->kw < 1)
        return "weights without elements";
    if (s->groups > MAX_CHANNELS || s->out > MAX_CHANNELS / s->groups ||
        s->in > MAX_CHANNELS / s->groups || s->kh > MAX_KERNEL || s->kw > MAX_KERNEL)
        return "weights beyond their bounds";
    if ((double)s->kh * (double)s->kw * (double)s->in > PQC_MAX_PRODUCTS)
        return "more products than 32 bits can sum";
    if (s->depthwise && (s->in != 1 || s->out != 1))
        return "depthwise weights of several channels";
    if (s->merged && s->groups != 1)
        return "merged rows of taps in groups";
    return NULL;
}

static ptrdiff_t padded_of(const pqc_weights_shape *s)
{
    return pqc_round_up(s->depthwise ? s->groups : s->out, PQC_LANES);
}

static ptrdiff_t k_of(const pqc_weights_shape *s)
{
    if (s->depthwise)
        return s->kw * pqc_div_round_up(s->kh, 4);
    return s->merged ? s->kh * pqc_div_round_up(s->kw * s->in, 4)
                     : s->kh * s->kw * pqc_div_round_up(s->in, 4);
}

static ptrdiff_t rows_of(const pqc_weights_shape *s)
{
    return (s->depthwise ? 1 : s->groups) * padded_of(s);
}

static ptrdiff_t numbers_of(const pqc_weights_shape *s)
{
    return pqc_round_up(s->groups * s->out, PQC_LANES);
}

ptrdiff_t pqc_weights_bytes(const pqc_weights_shape *s)
{
    return pqc_line_aligned(rows_of(s) * k_of(s) * 4) + 2 * pqc_line_aligned(4 * rows_of(s)) +
           2 * pqc_line_aligned(4 * numbers_of(s));
}

/* Where weight (tap, channel) of an output channel of a group goes. */
static int8_t *byte_at(const pqc_weights *p, ptrdiff_t group, ptrdiff_t out, ptrdiff_t row,
                       ptrdiff_t column, ptrdiff_t channel)
{
    const pqc_weights_shape *s = &p->shape;
    ptrdiff_t panel = out / PQC_NR, first = panel * PQC_NR, along, lane;
    ptrdiff_t width = pqc_min(p->padded_out - first, PQC_NR);
    if (s->merged) {
        ptrdiff_t i = column * s->in + channel;
        along = row * pqc_div_round_up(s->kw * s->in, 4) + i / 4;
        lane = i % 4;
    } else {
        along = (row * s->kw + column) * pqc_div_round_up(s->in, 4) + channel / 4;
        lane = channel % 4;
    }
    return p->bytes + (group * p->padded_out + first) * p->k * 4 +
           (along * width + out - first) * 4 + lane;
}

static void pack_channel(pqc_weights *p, const int8_t *weight, ptrdiff_t channel)
{
    const pqc_weights_shape *s = &p->shape;
    ptrdiff_t group = channel / s->out, out = channel % s->out, column = pqc_div_round_up(s->kh, 4);
    int32_t sum = 0;
    for (ptrdiff_t y = 0; y < s->kh; y++)
        for (ptrdiff_t x = 0; x < s->kw; x++)
            for (ptrdiff_t c = 0; c < s->in; c++) {
                int8_t w = *weight++;
                sum += w;
                if (s->depthwise)
                    p->bytes[((x * column + y / 4) * p->padded_out + channel) * 4 + y % 4] = w;
                else
                    *byte_at(p, group, out, y, x, c) = w;
            }
    ptrdiff_t at = s->depthwise ? channel : group * p->padded_out + out;
    p->compensation[at] = -s->zero * sum;
    p->weight_sums[at] = 128 * sum;
}

static void *take(char **memory, ptrdiff_t bytes)
{
    void *at = *memory;
    *memory += pqc_line_aligned(bytes);
    return at;
}

/* Infinity if something is not finite. */
static float largest_of(const float *scale, const float *bias, ptrdiff_t channels)
{
    float largest = 0;
    for (ptrdiff_t c = 0; c < channels; c++) {
        float bound = 0x1p31f * fabsf(scale[c]) + fabsf(bias[c]);
        if (!(bound <= largest))
            largest = isfinite(bound) ? bound : INFINITY;
    }
    return largest;
}

void pqc_weights_pack(pqc_weights *p, const pqc_weights_shape *s, void *memory,
                      const int8_t *weight, const float *scale, const float *bias)
{
    char *at = memory;
    ptrdiff_t channels = s->groups * s->out, length = s->kh * s->kw * s->in;
    memset(memory, 0, (size_t)pqc_weights_bytes(s));
    *p = (pqc_weights){.shape = *s, .padded_out = padded_of(s), .k = k_of(s)};
    p->bytes = take(&at, rows_of(s) * p->k * 4);
    p->compensation = take(&at, 4 * rows_of(s));
    p->weight_sums = take(&at, 4 * rows_of(s));
    p->scale = take(&at, 4 * numbers_of(s));
    p->bias = take(&at, 4 * numbers_of(s));
    p->has_min_weight = memchr(weight, 0x80, (size_t)(channels * length)) != NULL;
    memcpy(p->scale, scale, (size_t)channels * sizeof *scale);
    memcpy(p->bias, bias, (size_t)channels * sizeof *bias);
    p->largest = largest_of(scale, bias, channels);
    for (ptrdiff_t c = 0; c < channels; c++)
        pack_channel(p, weight + c * length, c);
}
