/* Squared quantisation error of a histogram for one amax: in full, and from running sums over the levels, in double. */
#include "search_mse_error.h"

#include "dispatch.h"
#include "float_quant/float_quant.h"

#include <math.h>
#include <string.h>

enum {
    E4M3_STEPS = 126,
    ROW = 512,
    ASK = 1 << 18, /* bins between two calls of `stop`: some ms */
};

static const float e4m3_largest = 448.0f;
static const float largest_centre = 1e37f;

static bool is_e4m3(pqc_int_format format)
{
    return format.num_bits == PQC_SEARCH_E4M3;
}

static double largest_level(pqc_int_format format)
{
    int bits = format.num_bits - 1 + format.is_unsigned;
    return is_e4m3(format) ? (double)e4m3_largest : ldexp(1.0, bits < 0 ? 0 : bits) - 1.0;
}

/* The positive levels of E4M3: 7 subnormals, then 8 per binade, the largest 448. */
static float level(pqc_int_format format, ptrdiff_t k)
{
    if (!is_e4m3(format))
        return (float)k;
    return k < 8 ? (float)k / 512.0f : ldexpf((float)(8 + k % 8), (int)(k / 8) - 10);
}

static size_t aligned(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

size_t pqc_mse_table_scratch(ptrdiff_t bins)
{
    size_t n = (size_t)bins;
    return (n + 1) * sizeof(pqc_above) + 2 * n * sizeof(double) + 2 * aligned(n * sizeof(float)) +
           2 * aligned((n + 2) * sizeof(int32_t)) + aligned((n / 2 + 1) * sizeof(float));
}

/* A compensated sum (Knuth's TwoSum): its error does not grow with n. */
typedef struct {
    double main, rest;
} sum;

static inline void add(sum *s, double x)
{
    double next = s->main + x, added = next - s->main;
    s->rest += (s->main - (next - added)) + (x - added);
    s->main = next;
}

static bool set_above(pqc_mse_table *t, const pqc_search *s, pqc_above *above)
{
    sum count = {0}, first = {0}, second = {0};
    above[t->n] = (pqc_above){0};
    for (ptrdiff_t i = t->n; i-- > 0;) {
        double w = t->count[i], x = t->rising[i];
        if (i % ASK == 0 && pqc_search_stopped(s))
            return false;
        add(&count, w);
        add(&first, w * x);
        add(&second, w * x * x);
        double high = first.main + first.rest;
        above[i] = (pqc_above){count.main + count.rest, high, second.main + second.rest,
                               first.rest - (high - first.main)};
    }
    t->above = above;
    return true;
}

static double cell_of(const pqc_mse_table *t, double x)
{
    double cell = (x - (double)t->rising[0]) * t->per_cell;
    return cell < (double)t->cells ? cell : (double)(t->cells - 1);
}

static bool set_start(pqc_mse_table *t, const pqc_search *s, int32_t *start)
{
    double range = (double)t->rising[t->n - 1] - (double)t->rising[0];
    ptrdiff_t next = 0;
    t->cells = range > 0.0 ? t->n : 1;
    t->per_cell = range > 0.0 ? (double)t->cells / range : 0.0;
    for (ptrdiff_t i = 0; i < t->n; i++) {
        if (i % ASK == 0 && pqc_search_stopped(s))
            return false;
        for (ptrdiff_t cell = (ptrdiff_t)cell_of(t, t->rising[i]); next <= cell; next++)
            start[next] = (int32_t)i;
    }
    for (; next <= t->cells; next++)
        start[next] = (int32_t)t->n;
    t->start = start;
    return true;
}

/* In an unsigned format negative values become 0 for every amax.  Their error is common to all sums and would only
 * round away their differences. */
static bool always_lost(const pqc_mse_table *t, float centre)
{
    return centre < 0.0f && t->format.is_unsigned && !is_e4m3(t->format);
}

/* Sets x and weight; returns the kind of table (see the header). */
static int fill(pqc_mse_table *t, const pqc_search *s, const float *centres, double *weight,
                float *x)
{
    bool rising = centres[0] >= 0.0f, known = true;
    for (ptrdiff_t i = 0; i < s->bins; i++) {
        if (i % ASK == 0 && pqc_search_stopped(s))
            return PQC_STOPPED;
        known &= fabsf(centres[i]) <= largest_centre;
        rising &= i == 0 || centres[i - 1] <= centres[i];
        if (s->counts[i] != 0 && !always_lost(t, centres[i])) {
            weight[t->n] = (double)s->counts[i];
            x[t->n++] = centres[i];
        }
    }
    t->x = t->rising = x;
    t->weight = t->count = weight;
    if (!known || (!is_e4m3(t->format) && !t->format.is_unsigned && !t->format.narrow_range))
        return PQC_MSE_PLAIN;
    return rising ? PQC_MSE_RISING : t->n > 0 ? PQC_MSE_SORTED : PQC_MSE_PLAIN;
}

static uint32_t magnitude_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu; /* as integers these sort like magnitudes */
}

enum { DIGIT = 11, DIGITS = 1 << DIGIT, PASSES = 3 };

/* 1 if the values rise, -1 if they strictly fall, else 0. */
static int direction(const float *values, const int32_t *order, ptrdiff_t n)
{
    ptrdiff_t rising = 1, falling = 1;
    for (ptrdiff_t i = 1; i < n && (rising == i || falling == i); i++) {
        uint32_t before = magnitude_bits(values[order[i - 1]]),
                 bits = magnitude_bits(values[order[i]]);
        rising += rising == i && before <= bits;
        falling += falling == i && before > bits;
    }
    return rising >= n ? 1 : falling >= n ? -1 : 0;
}

static void reverse(int32_t *order, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n / 2; i++) {
        int32_t other = order[n - 1 - i];
        order[n - 1 - i] = order[i];
        order[i] = other;
    }
}

static int digit_of(uint64_t item, int pass)
{
    return (int)(item >> (32 + DIGIT * pass)) % DIGITS;
}

/* Radix sort, lowest digit first; an item holds a magnitude in its high half and a number in its low half. */
bool pqc_mse_sort(const pqc_search *s, const float *values, int32_t *order, uint64_t *work,
                  ptrdiff_t n)
{
    ptrdiff_t next[PASSES][DIGITS + 1] = {{0}};
    uint64_t *from = work, *to = work + n;
    int way = direction(values, order, n);
    if (way < 0)
        reverse(order, n);
    if (way != 0)
        return true;
    for (ptrdiff_t i = 0; i < n; i++) {
        from[i] = (uint64_t)magnitude_bits(values[order[i]]) << 32 | (uint32_t)order[i];
        for (int pass = 0; pass < PASSES; pass++)
            next[pass][1 + digit_of(from[i], pass)]++;
    }
    for (int pass = 0; pass < PASSES; pass++) {
        for (int digit = 0; digit < DIGITS; digit++)
            next[pass][digit + 1] += next[pass][digit];
        for (ptrdiff_t i = 0; i < n; i++) {
            if (i % ASK == 0 && pqc_search_stopped(s))
                return false;
            to[next[pass][digit_of(from[i], pass)]++] = from[i];
        }
        uint64_t *other = from;
        from = to;
        to = other;
    }
    for (ptrdiff_t i = 0; i < n; i++)
        order[i] = (int32_t)(uint32_t)from[i];
    return true;
}

static bool set_rising(pqc_mse_table *t, const pqc_search *s, double *count, float *rising,
                       uint64_t *work)
{
    for (ptrdiff_t i = 0; i < t->n; i++)
        t->order[i] = (int32_t)i;
    if (!pqc_mse_sort(s, t->x, t->order, work, t->n))
        return false;
    for (ptrdiff_t i = 0; i < t->n; i++) {
        count[i] = t->weight[t->order[i]];
        rising[i] = fabsf(t->x[t->order[i]]);
    }
    t->count = count;
    t->rising = rising;
    return true;
}

int pqc_mse_table_init(pqc_mse_table *t, const pqc_search *s, const float *centres,
                       pqc_int_format format, void *scratch)
{
    size_t bins = (size_t)s->bins;
    pqc_above *above = scratch;
    double *weight = (double *)(above + bins + 1), *count = weight + bins;
    float *x = (float *)(count + bins), *rising = x + bins + bins % 2;
    int32_t *start = (int32_t *)(rising + bins + bins % 2);
    *t = (pqc_mse_table){.format = format, .order = start + bins + 2 + bins % 2};
    float *levels = (float *)(t->order + bins + bins % 2);
    int kind = fill(t, s, centres, weight, x);
    if (kind < 0 || kind == PQC_MSE_PLAIN)
        return kind;
    if ((kind == PQC_MSE_SORTED && !set_rising(t, s, count, rising, scratch)) ||
        !set_above(t, s, above) || (t->n > 0 && !set_start(t, s, start)))
        return PQC_STOPPED;
    double steps = is_e4m3(format) ? E4M3_STEPS : largest_level(format);
    if (steps <= (double)(t->n / 2)) {
        t->steps = (ptrdiff_t)steps;
        t->levels = levels;
        for (ptrdiff_t k = 0; k <= t->steps; k++)
            levels[k] = level(format, k);
    }
    return kind;
}

pqc_mse_quant pqc_mse_quant_of(const pqc_mse_table *t, float amax)
{
    pqc_mse_quant q = {.amax = amax};
    if (is_e4m3(t->format)) {
        pqc_float_format e4m3 = pqc_float_format_init(4, 3);
        pqc_float_scale e = pqc_float_scale_init(amax, &e4m3);
        q.mul = e.mul, q.div = e.div;
    } else {
        pqc_int_quant i = pqc_int_quant_init(amax, t->format);
        q.mul = i.mul, q.div = i.div;
    }
    q.zero = q.mul == 0.0f || isinf(q.div);
    q.top = q.zero ? 0.0 : largest_level(t->format) / (double)q.div;
    return q;
}

double pqc_mse_in_full(const pqc_mse_table *t, float amax)
{
    float y[ROW];
    double total = 0.0;
    pqc_float_format e4m3 = pqc_float_format_init(4, 3);
    for (ptrdiff_t at = 0; at < t->n; at += ROW) {
        ptrdiff_t n = t->n - at < ROW ? t->n - at : ROW;
        const float *x = t->x + at;
        if (is_e4m3(t->format))
            pqc.float_quant_f32(x, y, n, pqc_float_scale_init(amax, &e4m3), &e4m3);
        else
            pqc.fake_quant_f32(x, y, n, pqc_int_quant_init(amax, t->format));
        for (ptrdiff_t i = 0; i < n; i++) {
            double off = (double)y[i] - (double)x[i];
            total += off * off * t->weight[at + i];
        }
    }
    return total;
}

/* The border above level k: x * mul must reach `middle`, halfway to the next level; ties go to the even level.  In
 * E4M3 x below `least` become 0. */
typedef struct {
    float mul, middle, least;
    bool odd;
} border;

static inline bool is_above(float x, border b)
{
    float product = x * b.mul;
    return ((product > b.middle) | ((product == b.middle) & b.odd)) & (x >= b.least);
}

static inline ptrdiff_t cell_at(const pqc_mse_table *t, double place)
{
    double cell = cell_of(t, place);
    return cell > 0.0 ? (ptrdiff_t)cell : 0;
}

/* The first of x above `place`, which lies in this cell: it is in the cell or the first one after it.  Most cells
 * hold at most one x. */
static inline ptrdiff_t first_from(const pqc_mse_table *t, ptrdiff_t cell, double place)
{
    ptrdiff_t low = t->start[cell], n = t->start[cell + 1] - low;
    while (n > 0) {
        ptrdiff_t half = n / 2;
        bool above = (double)t->rising[low + half] > place;
        low = above ? low : low + half + 1;
        n = above ? half : n - half - 1;
    }
    return low;
}

static ptrdiff_t first_larger(const pqc_mse_table *t, double value)
{
    return first_from(t, cell_at(t, value), value);
}

static float least_nonzero(const pqc_mse_table *t)
{
    return is_e4m3(t->format) ? 0x1p-24f : 0.0f;
}

bool pqc_mse_all_zero(const pqc_mse_table *t, const pqc_mse_quant *q)
{
    border first = {q->mul, is_e4m3(t->format) ? 0x1p-10f : 0.5f, least_nonzero(t), false};
    return q->zero || !is_above(t->rising[t->n - 1], first);
}

enum { AHEAD = 32 };

/* For each of n borders from number k, halfway between levels: the first of x above it.  Memory latency dominates, so
 * everything is prefetched first. */
static void find_borders(const pqc_mse_table *t, double step, ptrdiff_t k, ptrdiff_t n,
                         ptrdiff_t *first)
{
    double places[AHEAD];
    for (ptrdiff_t i = 0; i < n; i++) {
        places[i] = ((double)t->levels[k + i] + (double)t->levels[k + i + 1]) * 0.5 * step;
        first[i] = cell_at(t, places[i]);
        PQC_FETCH_TO_READ(&t->start[first[i]]);
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        PQC_FETCH_TO_READ(&t->rising[t->start[first[i]]]);
        PQC_FETCH_TO_READ(&t->above[t->start[first[i]]]);
    }
    for (ptrdiff_t i = 0; i < n; i++)
        first[i] = first_from(t, first[i], places[i]);
}

/* By how much raising the level from v to `next` reduces the total error, over the x above the border. */
static inline double saving(const pqc_above *x, double v, double next)
{
    return (next - v) * ((2.0 * x->sum - (v + next) * x->count) + 2.0 * x->sum_rest);
}

double pqc_mse_exact(const pqc_mse_table *t, const pqc_mse_quant *q)
{
    if (!t->levels && !q->zero)
        return pqc_mse_in_full(t, q->amax);
    double step = 1.0 / (double)q->div;
    sum saved = {0};
    ptrdiff_t first[AHEAD];
    for (ptrdiff_t k = 0; k < t->steps && !q->zero; k += AHEAD) {
        const float *levels = &t->levels[k];
        ptrdiff_t n = pqc_min(t->steps - k, AHEAD);
        double block = 0.0;
        find_borders(t, step, k, n, first);
        if (first[0] == t->n)
            break;
        for (ptrdiff_t i = 0; i < n; i++)
            block +=
                saving(&t->above[first[i]], (double)levels[i] * step, (double)levels[i + 1] * step);
        add(&saved, block);
    }
    return fmax(0.0, (t->above[0].square - saved.main) - saved.rest);
}

static inline ptrdiff_t walk_back(const pqc_mse_table *t, ptrdiff_t at, border b)
{
    while (at > 0 && is_above(t->rising[at - 1], b))
        at--;
    return at;
}

/* From a position at or before it, the first of x above a border. */
static inline ptrdiff_t walk(const pqc_mse_table *t, ptrdiff_t at, border b)
{
    while (at < t->n && !is_above(t->rising[at], b))
        at++;
    return at;
}

/* Neighbouring quantisers, n of them, the last one repeated to fill the vector; and their current levels. */
typedef struct {
    ptrdiff_t n;
    float mul[PQC_MSE_RUN], div[PQC_MSE_RUN];
    double level[PQC_MSE_RUN];
    sum saved[PQC_MSE_RUN];
} run;

/* Adds what `steps` levels from k on save for each quantiser.  The quantisers' borders are close to each other and
 * never decrease. */
static void save_block(const pqc_mse_table *t, run *r, ptrdiff_t k, ptrdiff_t steps)
{
    ptrdiff_t first[AHEAD];
    float next[PQC_MSE_RUN];
    double saved[PQC_MSE_RUN] = {0};
    find_borders(t, 1.0 / (double)r->mul[0], k, steps, first);
    for (ptrdiff_t i = 0; i < steps; i++) {
        float level = t->levels[k + i + 1];
        border b = {.mul = r->mul[0],
                    .middle = (t->levels[k + i] + level) * 0.5f,
                    .least = least_nonzero(t),
                    .odd = (k + i) % 2 != 0};
        ptrdiff_t at = walk_back(t, first[i], b);
        for (ptrdiff_t j = 0; j < PQC_MSE_RUN; j++)
            next[j] = level / r->div[j];
        for (ptrdiff_t j = 0; j < r->n; j++) {
            b.mul = r->mul[j];
            at = walk(t, at, b);
            saved[j] += saving(&t->above[at], r->level[j], (double)next[j]);
            r->level[j] = (double)next[j];
        }
    }
    for (ptrdiff_t j = 0; j < r->n; j++)
        add(&r->saved[j], saved[j]);
}

void pqc_mse_estimate(const pqc_mse_table *t, const pqc_mse_quant *q, ptrdiff_t n, double *errors)
{
    run r = {0};
    for (; n > 0 && q->zero; n--, q++) /* the first */
        *errors++ = t->above[0].square;
    r.n = n;
    for (ptrdiff_t j = 0; j < PQC_MSE_RUN && n > 0; j++) {
        r.mul[j] = q[pqc_min(j, n - 1)].mul;
        r.div[j] = q[pqc_min(j, n - 1)].div;
    }
    for (ptrdiff_t k = 0; k < t->steps && n > 0; k += AHEAD)
        save_block(t, &r, k, pqc_min(t->steps - k, AHEAD));
    for (ptrdiff_t j = 0; j < n; j++)
        errors[j] = t->levels ? fmax(0.0, (t->above[0].square - r.saved[j].main) - r.saved[j].rest)
                              : pqc_mse_in_full(t, q[j].amax);
}

/* With u = 2^-53: above[0].square is right to 3 u of it.  A step's saving, whose parts are sums that are right to u, is so to
 * 8 u (v' - v) * sum of x above the border; the sum of these is at most twice that of the squares, for a level is at most
 * twice the x that become it.  The savings are not below 0 and no more than the squares in all, and AHEAD of them added up
 * are off by less than AHEAD u of that.  No more than 60 u in all; in full, the additions'. */
double pqc_mse_rounding(const pqc_mse_table *t)
{
    double full = t->levels ? 0.0 : 2.4e-16 * (double)(t->n + 8);
    return 1e-14 * t->above[0].square + full * t->above[0].square;
}

/* The largest sum of squared levels that x may become with a step of `step` or more: the nearest level of x / step is at
 * most half a step above, of E4M3 a sixteenth of it or half a subnormal one. */
static double largest_curvature(const pqc_mse_table *t, double step)
{
    double top = largest_level(t->format), rate = is_e4m3(t->format) ? 17.0 / 16.0 : 1.0;
    double half = is_e4m3(t->format) ? 0x1p-10 : 0.5;
    rate *= (1.0 + 1e-9) / step;
    const pqc_above *all = &t->above[0], *clipped = &t->above[first_larger(t, top * step)];
    return (1.0 + 1e-9) *
           (rate * rate * (all->square - clipped->square) +
            2.0 * rate * half * (all->sum - clipped->sum) +
            half * half * (all->count - clipped->count) + top * top * clipped->count +
            1e-12 * (rate * rate * all->square + half * half * all->count));
}

/* With exact levels, the error is a sum of minima, over the levels l, of (l step - x)^2.  Each of these is a parabola in the
 * step; less the one with the largest l, and so in sum less curvature * step^2, they are concave: above the chord between
 * both ends.  Float levels are within 2^-24 of theirs, so the root of the error is one of the length of that; and what
 * becomes another than the nearest level (only errors in full know of it) is at most 2^-23 x further away. */
double pqc_mse_between(const pqc_mse_table *t, const pqc_mse_quant *low, double low_error,
                       const pqc_mse_quant *high, double high_error)
{
    const pqc_above *all = &t->above[0];
    if (low->zero)
        return high->zero ? low_error : 0.0;
    double step = 1.0 / (double)low->div, range = fmax(0.0, 1.0 / (double)high->div - step);
    double most = sqrt(fmax(low_error, high_error)), unit = 0x1.01p-24 * (sqrt(all->square) + most);
    double off = t->levels ? 0.0 : 3.0 * unit, tiny = (double)least_nonzero(t);
    double other = pqc_mse_rounding(t) + (t->levels ? 0.0 : tiny * tiny * all->count);
    double first = fmax(0.0, sqrt(fmax(0.0, low_error - other)) - off);
    double last = fmax(0.0, sqrt(fmax(0.0, high_error - other)) - off);
    double bend = range * range * largest_curvature(t, step);
    double rise = last * last - first * first;
    double at = bend > 0.0 ? fmax(0.0, fmin(1.0, 0.5 - 0.5 * rise / bend)) : rise < 0.0;
    double between = first * first + at * (rise - bend * (1.0 - at));
    double root = sqrt(fmax(0.0, between)) - unit;
    return root > 0.0 ? fmax(0.0, root * root - pqc_mse_rounding(t)) : 0.0;
}
