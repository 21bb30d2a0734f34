#include "search.h"

#include "dispatch.h"
#include "parallel.h"

#include <float.h>
#include <math.h>

enum {
    GRAIN = 64,
    SLICE =
        1 << 21, /* groups or bins looked at between two questions whether to stop: some 10 ms */
};

/* Estimates are right to about 1e-12: those within this of the least are computed in full. */
static const double tie = 1e-10;

typedef struct {
    pqc_search s;
    pqc_groups groups;
    ptrdiff_t candidates;
    double total;
    double *sums, *filled, *clogc, *logs, *divergence, *work;
    ptrdiff_t slice; /* the first candidate of the slice at work */
    bool single;     /* as many levels as bins or more: every group is one bin */
} job;

static ptrdiff_t candidates_of(pqc_search s, ptrdiff_t last)
{
    return s.start > last ? 0 : (last - s.start) / s.stride + 1;
}

static double count_at(const job *j, ptrdiff_t i)
{
    return (double)j->s.counts[i == 0 && j->s.bins > 1 ? 1 : i];
}

size_t pqc_entropy_scratch(pqc_search s)
{
    size_t rows = (size_t)s.bins + 1 + PQC_CANDIDATES;
    return (7 * rows + (size_t)candidates_of(s, s.bins) + PQC_CANDIDATES) * sizeof(double);
}

static double c_log_c(double c)
{
    return c > 0.0 ? c * log(c) : 0.0;
}

/* Running sums; that of c log c is compensated (Neumaier), for it is large and its error would be
 * every later candidate's. */
static void prepare(job *j, double *scratch)
{
    ptrdiff_t bins = j->s.bins, rows = bins + 1 + PQC_CANDIDATES;
    double sum = 0.0, filled = 0.0, main = 0.0, rest = 0.0;
    j->sums = scratch;
    j->filled = j->sums + rows;
    j->clogc = j->filled + rows;
    j->logs = j->clogc + rows;
    j->work = j->logs + rows;
    j->divergence = j->work + 3 * rows;
    for (ptrdiff_t i = 0; i < rows; i++) {
        j->sums[i] = sum;
        j->filled[i] = filled;
        j->clogc[i] = main + rest;
        if (i < bins) {
            double c = count_at(j, i), term = c_log_c(c), next = main + term;
            rest += fabs(main) >= fabs(term) ? (main - next) + term : (term - next) + main;
            main = next;
            sum += c;
            filled += c > 0.0;
        }
    }
    ptrdiff_t most = j->single ? 0 : (bins >> j->groups.shift) + 1; /* bins in a group */
    for (ptrdiff_t k = 0; k <= most; k++)
        j->logs[k] = k == 0 ? 0.0 : log((double)k);
    j->total = sum;
    j->groups.sums = j->sums;
    j->groups.filled = j->filled;
    j->groups.logs = j->logs;
    for (int i = 0; i < PQC_LOG_TABLE; i++) {
        j->groups.inverse[i] = 1.0 / (1.0 + (i + 0.5) / PQC_LOG_TABLE);
        j->groups.log_inverse[i] = log(j->groups.inverse[i]);
    }
}

/* The first bin of the group that holds candidate i's last bin. */
static ptrdiff_t last_group(const job *j, ptrdiff_t i)
{
    int64_t levels = (int64_t)1 << j->groups.shift, group = (levels * i - levels) / i;
    return j->single ? i - 1 : (ptrdiff_t)((group * i + levels - 1) >> j->groups.shift);
}

/* The sum of p log(p / q), from the parts:
 * (sum of r log r - sum over groups of S log(S/k) - tail log(S/k of the last group)) / T
 * + log(sum of q / T),  r the counts with the tail added to the last. */
static double estimate(const job *j, ptrdiff_t i, double search_logs)
{
    double below = j->sums[i], tail = j->total - below, c = count_at(j, i - 1);
    if (j->total == 0.0 || below == 0.0)
        return NAN;
    if (c == 0.0 && tail > 0.0)
        return INFINITY;
    double all = j->clogc[i - 1] - search_logs;
    if (c > 0.0)
        all += (c + tail) * pqc_log(c + tail, &j->groups);
    if (tail > 0.0) {
        ptrdiff_t from = last_group(j, i);
        double level = (below - j->sums[from]) / (j->filled[i] - j->filled[from]);
        all -= tail * pqc_log(level, &j->groups);
    }
    return all / j->total + pqc_log(below, &j->groups) - pqc_log(j->total, &j->groups);
}

static void estimate_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    double search_logs[PQC_CANDIDATES];
    begin += j->slice;
    end += j->slice;
    for (ptrdiff_t at = begin; at < end; at += PQC_CANDIDATES) {
        int n = end - at < PQC_CANDIDATES ? (int)(end - at) : PQC_CANDIDATES;
        ptrdiff_t first = j->s.start + at * j->s.stride;
        if (!j->single)
            pqc.search_logs(&j->groups, first, j->s.stride, n, search_logs);
        for (int k = 0; k < n; k++) {
            ptrdiff_t i = first + k * j->s.stride;
            j->divergence[at + k] = estimate(j, i, j->single ? j->clogc[i] : search_logs[k]);
        }
    }
}

static bool stopped(const job *j)
{
    return j->s.stop && j->s.stop(j->s.stop_context);
}

/* False if stopped. */
static bool estimate_all(job *j)
{
    ptrdiff_t cost = j->single ? 1 : (ptrdiff_t)1 << j->groups.shift;
    ptrdiff_t most = (SLICE / cost / GRAIN + 2) * GRAIN;
    for (j->slice = 0; j->slice < j->candidates; j->slice += most) {
        ptrdiff_t left = j->candidates - j->slice;
        if (stopped(j))
            return false;
        pqc_parallel(left < most ? left : most, GRAIN, estimate_range, j);
    }
    return true;
}

/* NumPy's order of a sum: eight running sums within 128 numbers, halves above. */
static double pairwise_sum(const double *x, ptrdiff_t n)
{
    if (n > 128) {
        ptrdiff_t half = n / 2 / 8 * 8;
        return pairwise_sum(x, half) + pairwise_sum(x + half, n - half);
    }
    double r[8] = {0}, sum = 0.0;
    ptrdiff_t i = 0;
    if (n >= 8) {
        for (; i < 8; i++)
            r[i] = x[i];
        for (; i + 8 <= n; i += 8)
            for (int k = 0; k < 8; k++)
                r[k] += x[i + k];
        sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    }
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

/* SciPy's rel_entr of p, q >= 0: p log(p / q). */
static double relative_entropy(double p, double q)
{
    if (p == 0.0)
        return 0.0;
    if (q == 0.0)
        return INFINITY;
    double ratio = p / q;
    if (ratio > 0.5 && ratio < 2.0)
        return p * log1p((p - q) / q);
    if (ratio > DBL_MIN && ratio < DBL_MAX)
        return p * log(ratio);
    return p * (log(p) - log(q));
}

/* q of candidate i, not yet divided by its sum. */
static void flatten(const job *j, ptrdiff_t i, double *q)
{
    int64_t levels = (int64_t)1 << j->groups.shift;
    ptrdiff_t from = 0;
    for (int64_t group = 1; from < i; group++) {
        ptrdiff_t to =
            j->single ? from + 1 : (ptrdiff_t)((group * i + levels - 1) >> j->groups.shift);
        double filled = j->filled[to] - j->filled[from];
        double level = filled > 0.0 ? (j->sums[to] - j->sums[from]) / filled : 0.0;
        for (; from < to; from++)
            q[from] = count_at(j, from) > 0.0 ? level : 0.0;
    }
}

/* Candidate i in the original's order of operations. */
static double in_full(const job *j, ptrdiff_t i)
{
    double *p = j->work, *q = p + i;
    flatten(j, i, q);
    for (ptrdiff_t k = 0; k < i; k++)
        p[k] = count_at(j, k);
    p[i - 1] += j->total - j->sums[i];
    double sum_p = pairwise_sum(p, i), sum_q = pairwise_sum(q, i);
    for (ptrdiff_t k = 0; k < i; k++)
        p[k] = relative_entropy(p[k] / sum_p, q[k] / sum_q);
    return pairwise_sum(p, i);
}

/* The last of the least, or PQC_STOPPED. */
static ptrdiff_t choose(job *j)
{
    double least = INFINITY, found = INFINITY;
    ptrdiff_t near = 0, last = -1, looked_at = 0;
    for (ptrdiff_t n = 0; n < j->candidates; n++) {
        if (j->divergence[n] != j->divergence[n]) /* NaN */
            continue;
        least = j->divergence[n] < least ? j->divergence[n] : least;
        last = n; /* the answer if all are infinite */
    }
    for (ptrdiff_t n = 0; n < j->candidates; n++)
        near += j->divergence[n] <= least + tie;
    for (ptrdiff_t n = 0; n < j->candidates && least < INFINITY; n++) {
        if (!(j->divergence[n] <= least + tie))
            continue;
        looked_at += j->s.start + n * j->s.stride;
        if (looked_at > SLICE && stopped(j))
            return PQC_STOPPED;
        looked_at = looked_at > SLICE ? 0 : looked_at;
        double full = near == 1 ? least : in_full(j, j->s.start + n * j->s.stride);
        if (full <= found) {
            found = full;
            last = n;
        }
    }
    return last < 0 ? j->candidates - 1 : last;
}

ptrdiff_t pqc_entropy_search(pqc_search s, int num_bits, bool is_unsigned, void *scratch)
{
    job j = {.s = s, .candidates = candidates_of(s, s.bins)};
    int shift = num_bits - 1 + is_unsigned;
    if (j.candidates == 0)
        return -1;
    j.single = shift >= 31 || ((ptrdiff_t)1 << shift) >= s.bins;
    j.groups.shift = j.single ? 0 : shift;
    prepare(&j, scratch);
    if (!estimate_all(&j))
        return PQC_STOPPED;
    ptrdiff_t chosen = choose(&j);
    return chosen == PQC_STOPPED ? PQC_STOPPED : s.start + chosen * s.stride;
}
