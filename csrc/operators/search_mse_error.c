#include "search_mse_error.h"

#include "dispatch.h"
#include "float_quant/float_quant.h"

#include <math.h>
#include <string.h>

enum {
    E4M3_STEPS = 126,
    ROW = 512,
    ASK = 1 << 18, /* bins between two questions whether to stop: some ms */
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

/* The positive levels of E4M3: 7 subnormals, then 8 a binade, the last being 448. */
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
    return aligned((n + 1) * sizeof(pqc_above)) + 2 * n * sizeof(double) +
           2 * aligned(n * sizeof(float)) + aligned((n + 2) * sizeof(int32_t)) +
           aligned((n / 2 + 1) * sizeof(float)) + 2 * n * sizeof(int32_t);
}

/* A compensated sum (Neumaier): its error does not grow with n. */
typedef struct {
    double main, rest;
} sum;

static inline void add(sum *s, double x)
{
    double next = s->main + x;
    s->rest += fabs(s->main) >= fabs(x) ? (s->main - next) + x : (x - next) + s->main;
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
        above[i] = (pqc_above){count.main + count.rest, first.main + first.rest,
                               second.main + second.rest};
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

/* x and weight, and what may be done with them. */
static int fill(pqc_mse_table *t, const pqc_search *s, const float *centres, double *weight,
                float *x)
{
    bool rising = centres[0] >= 0.0f, positive = true, known = true;
    for (ptrdiff_t i = 0; i < s->bins; i++) {
        if (i % ASK == 0 && pqc_search_stopped(s))
            return PQC_STOPPED;
        known &= fabsf(centres[i]) <= largest_centre;
        rising &= i == 0 || centres[i - 1] <= centres[i];
        if (s->counts[i] != 0) {
            positive &= centres[i] >= 0.0f;
            weight[t->n] = (double)s->counts[i];
            x[t->n++] = centres[i];
        }
    }
    t->x = t->rising = x;
    t->weight = t->count = weight;
    bool symmetric = is_e4m3(t->format) || t->format.narrow_range;
    if (!known || (!positive && (t->format.is_unsigned || !symmetric)))
        return PQC_MSE_PLAIN;
    return rising ? PQC_MSE_RISING : t->n > 0 ? PQC_MSE_SORTED : PQC_MSE_PLAIN;
}

static uint32_t magnitude_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu; /* as integers they rise with the magnitude */
}

enum { DIGIT = 11, DIGITS = 1 << DIGIT };

bool pqc_mse_sort(const pqc_search *s, const float *values, int32_t *order, int32_t *work,
                  ptrdiff_t n)
{
    int32_t *from = order, *to = work;
    for (int shift = 0; shift < 31; shift += DIGIT) {
        ptrdiff_t next[DIGITS + 1] = {0};
        for (ptrdiff_t i = 0; i < n; i++)
            next[1 + (magnitude_bits(values[from[i]]) >> shift) % DIGITS]++;
        for (int digit = 0; digit < DIGITS; digit++)
            next[digit + 1] += next[digit];
        for (ptrdiff_t i = 0; i < n; i++) {
            if (i % ASK == 0 && pqc_search_stopped(s))
                return false;
            to[next[(magnitude_bits(values[from[i]]) >> shift) % DIGITS]++] = from[i];
        }
        int32_t *other = from;
        from = to;
        to = other;
    }
    if (n > 0) /* three times over, and so not where it is to be */
        memcpy(order, work, (size_t)n * sizeof *order);
    return true;
}

static bool set_rising(pqc_mse_table *t, const pqc_search *s, double *count, float *rising)
{
    for (ptrdiff_t i = 0; i < t->n; i++)
        t->order[i] = (int32_t)i;
    if (!pqc_mse_sort(s, t->x, t->order, t->order + s->bins, t->n))
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
    *t = (pqc_mse_table){.format = format, .order = start + bins + 2};
    float *levels = (float *)(t->order + 2 * bins);
    int kind = fill(t, s, centres, weight, x);
    if (kind < 0 || kind == PQC_MSE_PLAIN)
        return kind;
    if ((kind == PQC_MSE_SORTED && !set_rising(t, s, count, rising)) || !set_above(t, s, above) ||
        (t->n > 0 && !set_start(t, s, start)))
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

/* Where x is quantised to a level above k, `middle` being half-way from k to the next: the kernels'
 * product, ties to the even level; E4M3 makes 0 of the smallest x. */
typedef struct {
    float mul, middle, least;
    bool odd;
} border;

static inline bool is_above(float x, border b)
{
    float product = x * b.mul;
    return (product > b.middle || (product == b.middle && b.odd)) && x >= b.least;
}

/* The first of x above a border that is near `place`. */
static inline ptrdiff_t first_above(const pqc_mse_table *t, double place, border b)
{
    double cell = cell_of(t, place);
    ptrdiff_t at = cell > 0.0 ? (ptrdiff_t)cell : 0;
    ptrdiff_t low = t->start[at > 0 ? at - 1 : 0];
    ptrdiff_t high = t->start[at + 2 < t->cells ? at + 2 : t->cells];
    while (low < high) {
        ptrdiff_t middle = low + (high - low) / 2;
        if (is_above(t->rising[middle], b))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static ptrdiff_t first_larger(const pqc_mse_table *t, float value)
{
    return first_above(t, value, (border){.mul = 1.0f, .middle = value});
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

/* The squared error if everything became 0, less what each step up to the next level saves:
 * (v' - v) * sum of (2 x - v - v') over the x above the border. */
double pqc_mse_estimate(const pqc_mse_table *t, const pqc_mse_quant *q)
{
    if (!t->levels && !q->zero)
        return pqc_mse_in_full(t, q->amax);
    double all = t->above[0].square, saved = 0.0, v = 0.0,
           width = q->zero ? 0.0 : 1.0 / (double)q->mul;
    border b = {.mul = q->mul, .least = least_nonzero(t)};
    for (ptrdiff_t k = 0; k < t->steps && !q->zero; k++) {
        b.middle = (t->levels[k] + t->levels[k + 1]) * 0.5f;
        b.odd = k % 2 != 0;
        ptrdiff_t i = first_above(t, (double)b.middle * width, b);
        if (i == t->n)
            break;
        double next = t->levels[k + 1] / q->div;
        saved += (next - v) * (2.0 * t->above[i].sum - (v + next) * t->above[i].count);
        v = next;
    }
    return all > saved ? all - saved : 0.0;
}

double pqc_mse_rounding(const pqc_mse_table *t)
{
    return (2e-14 + 1.2e-16 * (double)t->steps) * t->above[0].square;
}

/* Two bounds.  What lies above `high` is off by the distance at least.  And the root of the error is the length of a
 * vector of distances to the nearest level; between two quantisers a level moves by its share of the largest one, and
 * the nearest level's share is at most x / low + half a step, and 1.  Rounding to float adds some 2^-23 of x. */
double pqc_mse_least(const pqc_mse_table *t, double error, double low, double at, double high)
{
    const pqc_above *all = &t->above[0];
    double half = is_e4m3(t->format) ? 16.0 / 448.0 : 0.5 / largest_level(t->format);
    double rounding = pqc_mse_rounding(t);
    float top = (float)(high * (1.0 + 3e-7)), bottom = (float)(low * (1.0 - 3e-7));
    const pqc_above *over = &t->above[first_larger(t, top)];
    const pqc_above *clipped = &t->above[first_larger(t, bottom)];
    double by_clipping = over->square + (double)top * ((double)top * over->count - 2.0 * over->sum);
    double share = bottom > 0.0f ? 1.0 / (double)bottom : 0.0;
    double moved = (all->square - clipped->square) * share * share +
                   2.0 * half * (all->sum - clipped->sum) * share +
                   half * half * (all->count - clipped->count) + clipped->count;
    double distance = fmax(at - low, high - at);
    double length = sqrt(fmax(error - rounding, 0.0)) -
                    distance * sqrt(fmax(moved, 0.0)) * (1.0 + 1e-6) - 6e-7 * sqrt(all->square);
    return fmax(by_clipping - rounding, length > 0.0 ? length * length : 0.0);
}
