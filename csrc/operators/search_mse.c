#include "search_mse_error.h"
#include "parallel.h"

#include <math.h>

enum {
    GRAIN = 8,
    FIRST_RANGES = 1024,
    SLICE =
        1 << 21, /* levels or bins looked at between two questions whether to stop: some 10 ms */
};

/* `width` neighbouring candidates from `at` on, and what the error of one is at least; of one candidate an estimate. */
typedef struct {
    ptrdiff_t at;
    double least;
} range;

typedef struct {
    pqc_search s;
    const float *centres;
    pqc_mse_table table;
    ptrdiff_t end;   /* candidates from here on have the error of one before */
    ptrdiff_t width; /* of the ranges */
    range *ranges;
    ptrdiff_t slice; /* the first range of the slice at work */
    double *errors;  /* of the candidates in the middle of the ranges */
} job;

static ptrdiff_t candidates_of(pqc_search s)
{
    return s.start >= s.bins ? 0 : (s.bins - 1 - s.start) / s.stride + 1;
}

size_t pqc_mse_scratch(pqc_search s)
{
    return pqc_mse_table_scratch(s.bins) +
           ((size_t)candidates_of(s) + 1) * (sizeof(range) + sizeof(double));
}

static float candidate(const job *j, ptrdiff_t n)
{
    return j->centres[j->s.start + n * j->s.stride];
}

static pqc_mse_quant quant_of(const job *j, ptrdiff_t n)
{
    return pqc_mse_quant_of(&j->table, candidate(j, n));
}

static bool stopped(const job *j)
{
    return j->s.stop && j->s.stop(j->s.stop_context);
}

/* Whether a candidate quantises as the one before. */
static bool is_repeated(const job *j, ptrdiff_t n, const pqc_mse_quant *q)
{
    if (n == 0)
        return false;
    pqc_mse_quant before = quant_of(j, n - 1);
    return (before.zero && q->zero) || (before.mul == q->mul && before.div == q->div);
}

static void bound(job *j, ptrdiff_t number)
{
    range *r = &j->ranges[number];
    ptrdiff_t last = (r->at + j->width < j->end ? r->at + j->width : j->end) - 1;
    pqc_mse_quant q = quant_of(j, r->at + (last - r->at) / 2);
    double error = pqc_mse_estimate(&j->table, &q);
    j->errors[number] = error;
    if (j->width == 1)
        r->least = is_repeated(j, r->at, &q) ? INFINITY : error;
    else if (q.zero) /* these are the first */
        r->least = 0.0;
    else
        r->least =
            pqc_mse_least(&j->table, error, quant_of(j, r->at).top, q.top, quant_of(j, last).top);
}

static void bound_slice(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    for (ptrdiff_t i = begin; i < end; i++)
        bound(j, j->slice + i);
}

static void full_slice(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    for (ptrdiff_t i = j->slice + begin; i < j->slice + end; i++)
        j->errors[i] = pqc_mse_in_full(&j->table, candidate(j, j->ranges[i].at));
}

/* Calls fn for all ranges, of which each costs so much, and asks now and then whether to stop: then false. */
static bool in_slices(job *j, ptrdiff_t n, ptrdiff_t cost, ptrdiff_t grain, pqc_range_fn fn)
{
    ptrdiff_t most = SLICE / (cost + 1) + 2;
    for (j->slice = 0; j->slice < n; j->slice += most) {
        if (stopped(j))
            return false;
        pqc_parallel(n - j->slice < most ? n - j->slice : most, grain, fn, j);
    }
    return true;
}

/* Keeps the ranges that may hold an error of at most `limit`. */
static ptrdiff_t keep(job *j, ptrdiff_t n, double limit)
{
    ptrdiff_t kept = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        if (j->ranges[i].least <= limit)
            j->ranges[kept++] = j->ranges[i];
    return kept;
}

static ptrdiff_t halve(job *j, ptrdiff_t n)
{
    ptrdiff_t half = j->width / 2, last = j->ranges[n - 1].at + half;
    for (ptrdiff_t i = n; i-- > 0;) {
        ptrdiff_t at = j->ranges[i].at;
        j->ranges[2 * i] = (range){.at = at};
        if (at + half < j->end)
            j->ranges[2 * i + 1] = (range){.at = at + half};
    }
    j->width = half;
    return 2 * n - (last >= j->end);
}

/* The candidates that may be the best, by halving the ranges that may hold one; -1 if stopped. */
static ptrdiff_t narrow_down(job *j)
{
    ptrdiff_t cost = j->table.levels ? j->table.steps : j->table.n, n = 0;
    double best = INFINITY, rounding = pqc_mse_rounding(&j->table);
    double order = 2.4e-16 * (double)(j->table.n + 8); /* of the additions in full, relative */
    for (j->width = 1; j->end / j->width > FIRST_RANGES;)
        j->width *= 2;
    for (ptrdiff_t at = 0; at < j->end; at += j->width)
        j->ranges[n++] = (range){.at = at};
    for (;; n = halve(j, n)) {
        if (!in_slices(j, n, cost, GRAIN, bound_slice))
            return -1;
        for (ptrdiff_t i = 0; i < n; i++)
            best = fmin(best, j->errors[i]);
        n = keep(j, n, best + 2.0 * rounding + order * best);
        if (j->width == 1)
            return n;
    }
}

/* The first candidate from which on everything becomes 0, and one more. */
static ptrdiff_t end_of(const job *j, ptrdiff_t n)
{
    ptrdiff_t low = 0, high = n;
    while (low < high) {
        ptrdiff_t middle = low + (high - low) / 2;
        pqc_mse_quant q = quant_of(j, middle);
        if (!q.zero && pqc_mse_all_zero(&j->table, &q))
            high = middle;
        else
            low = middle + 1;
    }
    return low < n ? low + 1 : n;
}

static ptrdiff_t every_candidate(job *j, ptrdiff_t n)
{
    ptrdiff_t kept = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        if (candidate(j, i) >= 0.0f)
            j->ranges[kept++] = (range){.at = i};
    return kept;
}

ptrdiff_t pqc_mse_search(pqc_search s, const float *centres, pqc_int_format format, void *scratch)
{
    job j = {.s = s, .centres = centres};
    ptrdiff_t candidates = candidates_of(s), n = 0, best = 0;
    if (candidates == 0)
        return -1;
    j.errors = (double *)((char *)scratch + pqc_mse_table_scratch(s.bins));
    j.ranges = (range *)(j.errors + candidates + 1);
    bool rising = pqc_mse_table_init(&j.table, s, centres, format, scratch);
    if (rising && j.table.n == 0)
        return s.start;
    if (rising) {
        j.end = end_of(&j, candidates);
        n = narrow_down(&j);
    } else {
        n = every_candidate(&j, candidates);
    }
    if (n < 0 || !in_slices(&j, n, j.table.n, 1, full_slice))
        return PQC_STOPPED;
    for (ptrdiff_t i = 1; i < n; i++)
        best = j.errors[i] < j.errors[best] ? i : best;
    return n == 0 ? -1 : s.start + j.ranges[best].at * s.stride;
}
