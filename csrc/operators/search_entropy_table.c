/* Running sums over a histogram, and the entropy search's bounds and estimates computed from them, in double. */
#include "search_entropy_table.h"

#include "dispatch.h"

#include <math.h>

enum {
    ASK = 1 << 19, /* bins between two calls of `stop`: some 10 ms */
    AHEAD = 16,
    PARTS = 4,
};

size_t pqc_entropy_table_scratch(ptrdiff_t bins)
{
    return 7 * ((size_t)bins + 1 + PQC_CANDIDATES) * sizeof(double);
}

static double count_at(const pqc_search *s, ptrdiff_t i)
{
    return (double)s->counts[i == 0 && s->bins > 1 ? 1 : i];
}

static double c_log_c(double c)
{
    return c > 0.0 ? c * log(c) : 0.0;
}

/* Fills the running sums.  That of c log c is compensated (Neumaier): it is large, and its error would carry over to
 * every later candidate. */
static bool set_sums(pqc_entropy_table *t, double *sums, double *filled, double *clogc)
{
    const pqc_search *s = t->search;
    ptrdiff_t rows = s->bins + 1 + PQC_CANDIDATES;
    double sum = 0.0, number = 0.0, main = 0.0, rest = 0.0;
    for (ptrdiff_t i = 0; i < rows; i++) {
        if (i % ASK == 0 && pqc_search_stopped(s))
            return false;
        sums[i] = sum;
        filled[i] = number;
        clogc[i] = main + rest;
        if (i < s->bins) {
            double c = count_at(s, i), term = c_log_c(c), next = main + term;
            rest += fabs(main) >= fabs(term) ? (main - next) + term : (term - next) + main;
            main = next;
            sum += c;
            number += c > 0.0;
            t->groups.used = c > 0.0 ? i + 1 : t->groups.used;
        }
    }
    t->groups.sums = sums;
    t->groups.filled = filled;
    t->clogc = clogc;
    t->total = sum;
    return true;
}

static bool set_logs(pqc_entropy_table *t, double *logs)
{
    ptrdiff_t most = t->single ? 0 : (t->search->bins >> t->groups.shift) + 1; /* bins per group */
    for (ptrdiff_t k = 0; k <= most; k++) {
        if (k % ASK == 0 && pqc_search_stopped(t->search))
            return false;
        logs[k] = k == 0 ? 0.0 : log((double)k);
    }
    t->groups.logs = logs;
    for (int i = 0; i < PQC_LOG_TABLE; i++) {
        t->groups.inverse[i] = 1.0 / (1.0 + (i + 0.5) / PQC_LOG_TABLE);
        t->groups.log_inverse[i] = log(t->groups.inverse[i]);
    }
    return true;
}

/* Counts of changes saturate: no more than there are group borders matter. */
static void set_changes(pqc_entropy_table *t, int32_t *changes)
{
    ptrdiff_t before = -1, bins = t->search->bins;
    ptrdiff_t most = t->single ? 0 : pqc_min((ptrdiff_t)1 << t->groups.shift, bins);
    for (ptrdiff_t i = 0; i < bins && t->number_of_changes < most; i++) {
        double c = count_at(t->search, i);
        if (c > 0.0 && before >= 0 && c != count_at(t->search, before)) {
            changes[2 * t->number_of_changes] = (int32_t)before;
            changes[2 * t->number_of_changes++ + 1] = (int32_t)i;
        }
        before = c > 0.0 ? i : before;
    }
    t->changes = changes;
}

bool pqc_entropy_table_init(pqc_entropy_table *t, const pqc_search *s, int num_bits,
                            bool is_unsigned, void *scratch)
{
    ptrdiff_t rows = s->bins + 1 + PQC_CANDIDATES;
    double *row = scratch;
    int shift = num_bits - 1 + is_unsigned;
    *t = (pqc_entropy_table){.search = s};
    t->single = shift >= 31 || ((ptrdiff_t)1 << shift) >= s->bins;
    t->groups.shift = t->single ? 0 : shift;
    t->work = row + 5 * rows;
    if (!set_sums(t, row, row + rows, row + 2 * rows) || !set_logs(t, row + 3 * rows))
        return false;
    set_changes(t, (int32_t *)(row + 4 * rows));
    return true;
}

static int64_t group_of(const pqc_entropy_table *t, ptrdiff_t i, ptrdiff_t bin)
{
    return t->single ? bin : bin * ((int64_t)1 << t->groups.shift) / i;
}

/* The sum of p log(p / q), from the parts:
 * (sum of r log r - sum over groups of S log(S/k) - tail log(S/k of the last group)) / T
 * + log(sum of q / T),  r the counts with the tail added to the last. */
static double divergence(const pqc_entropy_table *t, ptrdiff_t i, double group_logs)
{
    const pqc_groups *g = &t->groups;
    double below = g->sums[i], tail = t->total - below, c = count_at(t->search, i - 1);
    if (t->total == 0.0 || below == 0.0)
        return NAN;
    if (c == 0.0 && tail > 0.0)
        return INFINITY;
    double all = t->clogc[i - 1] - group_logs;
    if (c > 0.0)
        all += (c + tail) * pqc_log(c + tail, g);
    if (tail > 0.0) {
        ptrdiff_t from = pqc_entropy_group_begin(t, i, group_of(t, i, i - 1));
        double level = (below - g->sums[from]) / (g->filled[i] - g->filled[from]);
        all -= tail * pqc_log(level, g);
    }
    return all / t->total + pqc_log(below, g) - pqc_log(t->total, g);
}

double pqc_entropy_of_clipping(const pqc_entropy_table *t, ptrdiff_t i)
{
    return divergence(t, i, t->clogc[i]);
}

/* Plain comparisons, since fmax and fmin are library calls that check for NaN. */
static inline double larger(double a, double b)
{
    return a > b ? a : b;
}

static inline double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* The bins that belong to the same group for every candidate of a range: the sum of their counts, how many are
 * filled, and the mean. */
typedef struct {
    double s, k, level, log_level;
} core;

/* What merging these bins loses: the sum of c log c, less S log(S/k). */
static double core_loss(const pqc_entropy_table *t, ptrdiff_t from, ptrdiff_t to, core *c)
{
    const pqc_groups *g = &t->groups;
    *c = (core){0};
    if (from >= to || !(g->sums[to] - g->sums[from] > 0.0))
        return 0.0;
    c->s = g->sums[to] - g->sums[from];
    c->k = g->filled[to] - g->filled[from];
    c->level = c->s / c->k;
    c->log_level = pqc_log(c->s, g) - g->logs[(ptrdiff_t)c->k];
    return larger(0.0, t->clogc[to] - t->clogc[from] - c->s * c->log_level);
}

/* Upper bounds of |s - k * level| over all prefixes of the bins [from, to) and over all suffixes.  The value is
 * computed at PARTS places; between two of them it changes by at most their s or k * level. */
static void largest_offsets(const pqc_entropy_table *t, ptrdiff_t from, ptrdiff_t to,
                            double first_level, double last_level, double *first, double *last)
{
    const pqc_groups *g = &t->groups;
    double step_first = 0.0, step_last = 0.0;
    *first = *last = 0.0;
    for (ptrdiff_t part = 0, at = from; part < PARTS; part++) {
        ptrdiff_t next = from + (to - from) * (part + 1) / PARTS;
        double s = g->sums[next] - g->sums[at], k = g->filled[next] - g->filled[at];
        step_first = larger(step_first, larger(s, k * first_level));
        step_last = larger(step_last, larger(s, k * last_level));
        s = g->sums[at] - g->sums[from], k = g->filled[at] - g->filled[from];
        *first = larger(*first, fabs(s - k * first_level));
        s = g->sums[to] - g->sums[next], k = g->filled[to] - g->filled[next];
        *last = larger(*last, fabs(s - k * last_level));
        at = next;
    }
    *first += step_first;
    *last += step_last;
}

/* A lower bound of what the bins between two cores lose, wherever among them the border of the two groups lies.  For
 * a core with sums S, K and neighbouring bins s, k, the merged S log(S/K) is at most that of the core + s (log level
 * + 1) - k level + (s - k level)^2 / (level K), because log u <= u - 1.  Twice the last term allows for bins on both
 * sides of a core.  If the first bins join the left core and the rest the right one, this gives s (log right + 1) - k
 * right over all bins, and at most (s - k right) log(left / right) more for the first ones. */
static double border_loss(const pqc_entropy_table *t, ptrdiff_t from, ptrdiff_t to,
                          const core *left, const core *right)
{
    const pqc_groups *g = &t->groups;
    double off_left, off_right;
    if (from >= to || left->s == 0.0 || right->s == 0.0)
        return 0.0;
    double s = g->sums[to] - g->sums[from], k = g->filled[to] - g->filled[from];
    if (k > (left->k + right->k) / 8.0) /* almost none are certain to be lost */
        return 0.0;
    largest_offsets(t, from, to, left->level, right->level, &off_left, &off_right);
    double higher = left->log_level - right->log_level, lower = right->level - left->level;
    double more = smaller(fabs(higher) * (off_left + fabs(lower) * k),
                          larger(s * higher, 0.0) + larger(k * lower, 0.0));
    double merged = s * (right->log_level + 1.0) - k * right->level + more +
                    2.0 * off_left * off_left / left->s + 2.0 * off_right * off_right / right->s;
    return larger(0.0, t->clogc[to] - t->clogc[from] - merged);
}

/* Prefetches what the bounds of n groups, from `group`, read; returns where their cores begin and end. */
static void find_cores(const pqc_entropy_table *t, ptrdiff_t first, ptrdiff_t last, int64_t group,
                       int64_t n, ptrdiff_t *from, ptrdiff_t *to)
{
    const pqc_groups *g = &t->groups;
    for (int64_t i = 0; i < n; i++) {
        from[i] = pqc_entropy_group_begin(t, last, group + i);
        to[i] = pqc_entropy_group_begin(t, first, group + i + 1);
        PQC_FETCH_TO_READ(&g->sums[from[i]]);
        PQC_FETCH_TO_READ(&g->filled[from[i]]);
        PQC_FETCH_TO_READ(&t->clogc[from[i]]);
        PQC_FETCH_TO_READ(&g->sums[to[i]]);
        PQC_FETCH_TO_READ(&g->filled[to[i]]);
        PQC_FETCH_TO_READ(&t->clogc[to[i]]);
    }
}

double pqc_entropy_of_flattening(const pqc_entropy_table *t, ptrdiff_t first, ptrdiff_t last,
                                 double enough)
{
    int64_t levels = (int64_t)1 << t->groups.shift;
    ptrdiff_t end = 0, from[AHEAD], to[AHEAD];
    double lost = 0.0;
    core before = {0}, c;
    if (t->single || t->total == 0.0)
        return 0.0;
    for (int64_t group = 0; group < levels && !(lost > enough * t->total); group += AHEAD) {
        int64_t n = levels - group < AHEAD ? levels - group : AHEAD;
        find_cores(t, first, last, group, n, from, to);
        for (int64_t i = 0; i < n; i++) {
            lost += core_loss(t, from[i], to[i], &c) + border_loss(t, end, from[i], &before, &c);
            before = c;
            end = to[i];
        }
    }
    return lost / t->total;
}

bool pqc_entropy_is_zero(const pqc_entropy_table *t, ptrdiff_t i)
{
    if (t->groups.sums[i] != t->total || t->total > 0x1p53 || t->total == 0.0)
        return false;
    for (ptrdiff_t n = 0; n < t->number_of_changes; n++) {
        const int32_t *change = &t->changes[2 * n];
        if (change[1] < i && group_of(t, i, change[0]) == group_of(t, i, change[1]))
            return false;
    }
    return t->single || t->number_of_changes < (ptrdiff_t)1 << t->groups.shift;
}

void pqc_entropy_estimates(const pqc_entropy_table *t, ptrdiff_t i, ptrdiff_t n, double *found)
{
    double group_logs[PQC_CANDIDATES];
    if (!t->single)
        pqc.search_logs(&t->groups, i, 1, (int)n, group_logs);
    for (ptrdiff_t k = 0; k < n; k++)
        found[k] = t->single                       ? pqc_entropy_of_clipping(t, i + k)
                   : pqc_entropy_is_zero(t, i + k) ? 0.0
                                                   : divergence(t, i + k, group_logs[k]);
}
