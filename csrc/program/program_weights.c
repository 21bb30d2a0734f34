/* Packs int8 convolution weights of programs into panels, and computes compensations and bounds of the results. */
#include "program_weights.h"

#include "cache_sizes.h"

#include <math.h>
#include <string.h>

enum { MAX_CHANNELS = 1 << 24, MAX_KERNEL = 1 << 15 };
/* BLOCK: kr groups per block of a panel.  NARROW: this many bytes add up within 16 bits. */
enum { BLOCK = 16, NARROW = 128 };

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

/* Copies kr group i of a channel's n bytes to to + i * stride. */
static void pack_run(int8_t *to, ptrdiff_t stride, const int8_t *from, ptrdiff_t n)
{
    for (; n >= 4; n -= 4, from += 4, to += stride)
        memcpy(to, from, 4);
    if (n > 0)
        memcpy(to, from, (size_t)n);
}

/* The same for 4 channels, `next` bytes apart, and 4 kr groups: a transposition in registers. */
static inline void pack_square(int8_t *to, ptrdiff_t stride, const int8_t *from, ptrdiff_t next)
{
    uint32_t word[4][4];
    for (int c = 0; c < 4; c++)
        memcpy(word[c], from + c * next, 16);
    for (int i = 0; i < 4; i++, to += stride) {
        uint32_t row[4] = {word[0][i], word[1][i], word[2][i], word[3][i]};
        memcpy(to, row, 16);
    }
}

/* n bytes of each of some channels, in blocks, so that the lines shared by several channels stay in L1. */
static void pack_runs(int8_t *to, ptrdiff_t stride, const int8_t *from, ptrdiff_t next,
                      ptrdiff_t channels, ptrdiff_t n)
{
    for (ptrdiff_t first = 0; first < n; first += 4 * BLOCK, to += BLOCK * stride) {
        ptrdiff_t size = pqc_min(n - first, 4 * BLOCK), c = 0;
        for (; size == 4 * BLOCK && c + 4 <= channels; c += 4)
            for (ptrdiff_t i = 0; i < BLOCK; i += 4)
                pack_square(to + i * stride + 4 * c, stride, from + c * next + first + 4 * i, next);
        for (; c < channels; c++)
            pack_run(to + 4 * c, stride, from + c * next + first, size);
    }
}

/* Packs one panel of a group: output channels from `first`. */
static void pack_panel(pqc_weights *p, const int8_t *weight, ptrdiff_t group, ptrdiff_t first)
{
    const pqc_weights_shape *s = &p->shape;
    ptrdiff_t length = s->kh * s->kw * s->in, width = pqc_min(p->padded_out - first, PQC_NR);
    ptrdiff_t channels = pqc_min(s->out - first, PQC_NR);
    ptrdiff_t run = s->merged ? s->kw * s->in : s->in % 4 == 0 ? length : s->in;
    int8_t *to = p->bytes + (group * p->padded_out + first) * p->k * 4;
    weight += (group * s->out + first) * length;
    for (ptrdiff_t done = 0; done < length; done += run, to += pqc_div_round_up(run, 4) * width * 4)
        pack_runs(to, width * 4, weight + done, length, channels, run);
}

static void pack_panels(pqc_weights *p, const int8_t *weight)
{
    for (ptrdiff_t group = 0; group < p->shape.groups; group++)
        for (ptrdiff_t first = 0; first < p->shape.out; first += PQC_NR)
            pack_panel(p, weight, group, first);
}

static void pack_depthwise(pqc_weights *p, const int8_t *weight)
{
    const pqc_weights_shape *s = &p->shape;
    ptrdiff_t column = pqc_div_round_up(s->kh, 4);
    for (ptrdiff_t c = 0; c < s->groups; c++)
        for (ptrdiff_t y = 0; y < s->kh; y++)
            for (ptrdiff_t x = 0; x < s->kw; x++)
                p->bytes[((x * column + y / 4) * p->padded_out + c) * 4 + y % 4] = *weight++;
}

/* True if every byte of the packed memory is a weight. */
static bool fills_memory(const pqc_weights *p)
{
    const pqc_weights_shape *s = &p->shape;
    ptrdiff_t run = s->merged ? s->kw * s->in : s->in;
    return !s->depthwise && run % 4 == 0 && s->out == p->padded_out;
}

static int32_t sum_of(const int8_t *x, ptrdiff_t n)
{
    int32_t sum = 0;
    for (; n > 0; n -= NARROW, x += NARROW) {
        int16_t part = 0; /* accumulates in 16 bits, which have twice as many lanes */
        for (ptrdiff_t i = 0; i < pqc_min(n, NARROW); i++)
            part = (int16_t)(part + x[i]);
        sum += part;
    }
    return sum;
}

static int32_t magnitude_of(const int8_t *x, ptrdiff_t n)
{
    int32_t sum = 0;
    for (; n > 0; n -= NARROW, x += NARROW) {
        int16_t part = 0;
        for (ptrdiff_t i = 0; i < pqc_min(n, NARROW); i++)
            part = (int16_t)(part + (x[i] < 0 ? -x[i] : x[i]));
        sum += part;
    }
    return sum;
}

static void set_sums(pqc_weights *p, const int8_t *weight)
{
    const pqc_weights_shape *s = &p->shape;
    ptrdiff_t length = s->kh * s->kw * s->in;
    for (ptrdiff_t c = 0; c < s->groups * s->out; c++, weight += length) {
        ptrdiff_t at = s->depthwise ? c : c / s->out * p->padded_out + c % s->out;
        int32_t sum = sum_of(weight, length);
        p->largest_sum = pqc_max(p->largest_sum, magnitude_of(weight, length));
        p->compensation[at] = -s->zero * sum;
        p->weight_sums[at] = 128 * sum;
    }
}

static void *take(char **memory, ptrdiff_t bytes)
{
    void *at = *memory;
    *memory += pqc_line_aligned(bytes);
    return at;
}

/* A bound of the magnitude of results of this many products; infinity if something is not finite. */
static float largest_of(const float *scale, const float *bias, ptrdiff_t channels,
                        ptrdiff_t products)
{
    /* compensates for its rounding */
    float largest = 0, sum = (float)(products * 255 * 128) * 1.0001f;
    for (ptrdiff_t c = 0; c < channels; c++) {
        float bound = sum * fabsf(scale[c]) + fabsf(bias[c]);
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
    *p = (pqc_weights){.shape = *s, .padded_out = padded_of(s), .k = k_of(s)};
    p->bytes = take(&at, rows_of(s) * p->k * 4);
    p->compensation = take(&at, 4 * rows_of(s));
    p->weight_sums = take(&at, 4 * rows_of(s));
    p->scale = take(&at, 4 * numbers_of(s));
    p->bias = take(&at, 4 * numbers_of(s));
    memset(p->compensation, 0,
           (size_t)((char *)memory + pqc_weights_bytes(s) - (char *)p->compensation));
    if (!fills_memory(p))
        memset(p->bytes, 0, (size_t)(rows_of(s) * p->k * 4));
    p->has_min_weight = memchr(weight, 0x80, (size_t)(channels * length)) != NULL;
    memcpy(p->scale, scale, (size_t)channels * sizeof *scale);
    memcpy(p->bias, bias, (size_t)channels * sizeof *bias);
    p->largest = largest_of(scale, bias, channels, length);
    if (s->depthwise)
        pack_depthwise(p, weight);
    else
        pack_panels(p, weight);
    set_sums(p, weight);
}
