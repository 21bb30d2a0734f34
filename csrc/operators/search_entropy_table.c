#include "search_entropy_table.h"

#include "dispatch.h"

#include <math.h>

enum { ASK = 1 << 19 }; /* bins between two questions whether to stop: some 10 ms */

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

/* The rows of running sums; that of c log c is compensated (Neumaier), for it is large and its error would be every later
 * candidate's. */
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
    ptrdiff_t most = t->single ? 0 : (t->search->bins >> t->groups.shift) + 1; /* bins in a group */
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

/* More changes than groups have borders need not be known. */
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

/* The bins that belong to one group of each candidate in a range: their counts, how many have any, and the quotient. */
typedef struct {
    double s, k, level, log_level;
} core;

/* What merging these bins loses: c log c of each, less S log(S/k). */
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
    return fmax(0.0, t->clogc[to] - t->clogc[from] - c->s * c->log_level);
}

/* What the bins between two cores lose at least, wherever the border of the groups lies among them.  S log(S/k) of a core
 * and bins s, k beside it is at most that of the core + s (log level + 1) - k level + (s - k level)^2 / (level K): log u is at
 * most u - 1.  Twice the last term allows for bins on both sides of a core. */
static double border_loss(const pqc_entropy_table *t, ptrdiff_t from, ptrdiff_t to,
                          const core *left, const core *right)
{
    const pqc_groups *g = &t->groups;
    if (from >= to || left->s == 0.0 || right->s == 0.0)
        return 0.0;
    double s = g->sums[to] - g->sums[from], k = g->filled[to] - g->filled[from];
    double off_left = fmax(s, k * left->level), off_right = fmax(s, k * right->level);
    double merged = s * (right->log_level + 1.0) - k * right->level +
                    fmax(s * (left->log_level - right->log_level), 0.0) +
                    fmax(k * (right->level - left->level), 0.0) +
                    2.0 * off_left * off_left / (left->level * left->k) +
                    2.0 * off_right * off_right / (right->level * right->k);
    return fmax(0.0, t->clogc[to] - t->clogc[from] - merged);
}

double pqc_entropy_of_flattening(const pqc_entropy_table *t, ptrdiff_t first, ptrdiff_t last)
{
    int64_t levels = (int64_t)1 << t->groups.shift;
    ptrdiff_t end = 0;
    double lost = 0.0;
    core before = {0}, c;
    if (t->single || t->total == 0.0)
        return 0.0;
    for (int64_t group = 0; group < levels; group++) {
        ptrdiff_t from = pqc_entropy_group_begin(t, last, group);
        ptrdiff_t to = pqc_entropy_group_begin(t, first, group + 1);
        lost += core_loss(t, from, to, &c) + border_loss(t, end, from, &before, &c);
        before = c;
        end = to;
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

double pqc_entropy_estimate(const pqc_entropy_table *t, ptrdiff_t i)
{
    double group_logs;
    if (t->single)
        return pqc_entropy_of_clipping(t, i);
    if (pqc_entropy_is_zero(t, i))
        return 0.0;
    pqc.search_logs(&t->groups, i, 1, 1, &group_logs);
    return divergence(t, i, group_logs);
}
