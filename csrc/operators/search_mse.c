#include "search_mse_error.h"
#include "search_ranges.h"

#include <math.h>

typedef struct {
    pqc_search s;
    const float *centres;
    pqc_mse_table table;
    pqc_ranges ranges; /* of the candidates up to one that makes everything 0 */
    int32_t *order;    /* the candidates' bins by rising centres; NULL: they are in that order */
} job;

static ptrdiff_t candidates_of(pqc_search s)
{
    return s.start >= s.bins ? 0 : (s.bins - 1 - s.start) / s.stride + 1;
}

size_t pqc_mse_scratch(pqc_search s)
{
    return pqc_mse_table_scratch(s.bins) +
           ((size_t)candidates_of(s) + 1) * (sizeof(pqc_range) + sizeof(double));
}

static ptrdiff_t bin_of(const job *j, ptrdiff_t n)
{
    return j->order ? j->order[n] : j->s.start + n * j->s.stride;
}

static float candidate(const job *j, ptrdiff_t n)
{
    return j->centres[bin_of(j, n)];
}

static pqc_mse_quant quant_of(const job *j, ptrdiff_t n)
{
    return pqc_mse_quant_of(&j->table, candidate(j, n));
}

/* Whether a candidate quantises as the one before, which is an earlier bin. */
static bool is_repeated(const job *j, ptrdiff_t n, const pqc_mse_quant *q)
{
    if (n == 0 || bin_of(j, n - 1) > bin_of(j, n))
        return false;
    pqc_mse_quant before = quant_of(j, n - 1);
    return (before.zero && q->zero) || (before.mul == q->mul && before.div == q->div);
}

static void bound(pqc_ranges *r, ptrdiff_t number, ptrdiff_t end)
{
    const job *j = r->context;
    pqc_range *range = &r->ranges[number];
    pqc_mse_quant q = quant_of(j, range->at + (end - 1 - range->at) / 2);
    double error = pqc_mse_estimate(&j->table, &q);
    r->found[number] = error;
    if (r->width == 1)
        range->least = is_repeated(j, range->at, &q) ? INFINITY : error;
    else if (q.zero) /* these are the first */
        range->least = 0.0;
    else
        range->least = pqc_mse_least(&j->table, error, quant_of(j, range->at).top, q.top,
                                     quant_of(j, end - 1).top);
}

static void full_slice(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    const pqc_ranges *r = &j->ranges;
    for (ptrdiff_t i = r->slice + begin; i < r->slice + end; i++)
        r->found[i] = pqc_mse_in_full(&j->table, candidate(j, r->ranges[i].at));
}

/* The candidates that may be the best; -1 if stopped. */
static ptrdiff_t narrow_down(job *j)
{
    pqc_ranges *r = &j->ranges;
    r->cost = j->table.levels ? j->table.steps : j->table.n;
    r->slack = 2.0 * pqc_mse_rounding(&j->table);
    r->rate = 2.4e-16 * (double)(j->table.n + 8); /* of the additions in full */
    return pqc_narrow_down(r);
}

/* The first candidate from which on everything becomes 0, and one more; it is the earliest bin of those. */
static ptrdiff_t end_of(job *j, ptrdiff_t n)
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
    for (ptrdiff_t i = low + 1; j->order && i < n; i++)
        j->order[low] = j->order[i] < j->order[low] ? j->order[i] : j->order[low];
    return low < n ? low + 1 : n;
}

/* The candidates by their centres, those below 0 left out; how many there are, or PQC_STOPPED. */
static ptrdiff_t sort_candidates(job *j)
{
    ptrdiff_t n = 0;
    j->order = j->table.order;
    for (ptrdiff_t bin = j->s.start; bin < j->s.bins; bin += j->s.stride)
        if (j->centres[bin] >= 0.0f)
            j->order[n++] = (int32_t)bin;
    return pqc_mse_sort(&j->s, j->centres, j->order, j->order + j->s.bins, n) ? n : PQC_STOPPED;
}

static ptrdiff_t every_candidate(job *j, ptrdiff_t n)
{
    ptrdiff_t kept = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        if (candidate(j, i) >= 0.0f)
            j->ranges.ranges[kept++] = (pqc_range){.at = i};
    return kept;
}

ptrdiff_t pqc_mse_search(pqc_search s, const float *centres, pqc_int_format format, void *scratch)
{
    job j = {.s = s, .centres = centres};
    ptrdiff_t candidates = candidates_of(s), n = 0, best = 0;
    if (candidates == 0)
        return -1;
    double *errors = (double *)((char *)scratch + pqc_mse_table_scratch(s.bins));
    j.ranges = (pqc_ranges){.search = &j.s, .bound = bound, .context = &j, .found = errors};
    j.ranges.ranges = (pqc_range *)(errors + candidates + 1);
    int kind = pqc_mse_table_init(&j.table, &s, centres, format, scratch);
    if (kind == PQC_MSE_RISING && j.table.n == 0)
        return s.start;
    if (kind == PQC_MSE_SORTED)
        candidates = sort_candidates(&j);
    if (kind < 0 || candidates < 0)
        return PQC_STOPPED;
    if (kind != PQC_MSE_PLAIN) {
        j.ranges.candidates = end_of(&j, candidates);
        n = narrow_down(&j);
    } else {
        n = every_candidate(&j, candidates);
    }
    if (n < 0 || !pqc_in_slices(&j.ranges, n, j.table.n, 1, full_slice, &j))
        return PQC_STOPPED;
    const pqc_range *left = j.ranges.ranges;
    for (ptrdiff_t i = 1; i < n; i++)
        if (errors[i] < errors[best] ||
            (errors[i] == errors[best] && bin_of(&j, left[i].at) < bin_of(&j, left[best].at)))
            best = i;
    return n == 0 ? -1 : bin_of(&j, left[best].at);
}
