/* MSE calibration: bounds drop most candidates, and the full sum of squared errors, in double, decides among the
 * rest. */
#include "search_chords.h"
#include "search_mse_error.h"
#include "search_ranges.h"

#include <math.h>

typedef struct {
    pqc_search s;
    const float *centres;
    pqc_mse_table table;
    pqc_chords chords; /* over the candidates up to the first whose quantiser makes everything 0 */
    int32_t *order;    /* the candidates' bins sorted by centre; NULL: they are sorted already */
} job;

static ptrdiff_t candidates_of(pqc_search s)
{
    return s.start >= s.bins ? 0 : (s.bins - 1 - s.start) / s.stride + 1;
}

size_t pqc_mse_scratch(pqc_search s)
{
    return pqc_mse_table_scratch(s.bins) + ((size_t)candidates_of(s) + 2) * sizeof(pqc_chord);
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

/* True if a candidate quantises exactly as the previous one, whose bin is earlier. */
static bool is_repeated(const job *j, ptrdiff_t n, const pqc_mse_quant *q)
{
    if (n == 0 || bin_of(j, n - 1) > bin_of(j, n))
        return false;
    pqc_mse_quant before = quant_of(j, n - 1);
    return (before.zero && q->zero) || (before.mul == q->mul && before.div == q->div);
}

static double curve(const void *context, ptrdiff_t n)
{
    const job *j = context;
    pqc_mse_quant q = quant_of(j, n);
    return pqc_mse_exact(&j->table, &q);
}

static void scores(const void *context, ptrdiff_t first, ptrdiff_t n, double *found)
{
    const job *j = context;
    pqc_mse_quant q[PQC_MSE_RUN];
    for (ptrdiff_t k = 0; k < n; k++)
        q[k] = quant_of(j, first + k);
    pqc_mse_estimate(&j->table, q, n, found);
}

static double least(const void *context, ptrdiff_t low, double low_error, ptrdiff_t high,
                    double high_error)
{
    const job *j = context;
    pqc_mse_quant first = quant_of(j, low), last = quant_of(j, high);
    return pqc_mse_between(&j->table, &first, low_error, &last, high_error);
}

static void full_slice(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    for (ptrdiff_t i = j->chords.slice + begin; i < j->chords.slice + end; i++)
        j->chords.chords[i].low = pqc_mse_in_full(&j->table, candidate(j, j->chords.chords[i].at));
}

/* Returns how many candidates may be the best; -1 if stopped. */
static ptrdiff_t narrow_down(job *j)
{
    pqc_chords *c = &j->chords;
    const pqc_mse_table *t = &j->table;
    c->cost = t->levels ? t->steps : t->n;
    c->rate = 2.4e-16 * (double)(t->n + 8); /* of the additions of the full sum */
    c->slack = 2.0 * pqc_mse_rounding(t);
    ptrdiff_t n = pqc_narrow_chords(c), kept = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        pqc_mse_quant q = quant_of(j, c->chords[i].at);
        if (!is_repeated(j, c->chords[i].at, &q))
            c->chords[kept++] = c->chords[i];
    }
    return n < 0 ? n : kept;
}

/* How many of the n candidates to consider.  The last one is the first for which everything becomes 0; it stands for
 * all later ones and is given the earliest bin among them. */
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

/* Sorts the candidates by centre, without those below 0; returns how many there are, or PQC_STOPPED. */
static ptrdiff_t sort_candidates(job *j)
{
    ptrdiff_t n = 0;
    j->order = j->table.order;
    for (ptrdiff_t bin = j->s.start; bin < j->s.bins; bin += j->s.stride)
        if (j->centres[bin] >= 0.0f)
            j->order[n++] = (int32_t)bin;
    return pqc_mse_sort(&j->s, j->centres, j->order, (uint64_t *)j->chords.chords, n) ? n
                                                                                      : PQC_STOPPED;
}

static ptrdiff_t every_candidate(job *j, ptrdiff_t n)
{
    ptrdiff_t kept = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        if (candidate(j, i) >= 0.0f)
            j->chords.chords[kept++].at = i;
    return kept;
}

ptrdiff_t pqc_mse_search(pqc_search s, const float *centres, pqc_int_format format, void *scratch)
{
    job j = {.s = s, .centres = centres};
    ptrdiff_t candidates = candidates_of(s), n = 0, best = 0;
    if (candidates == 0)
        return -1;
    j.chords = (pqc_chords){
        .search = &j.s, .curve = curve, .least = least, .scores = scores, .context = &j};
    j.chords.chords = (pqc_chord *)((char *)scratch + pqc_mse_table_scratch(s.bins));
    int kind = pqc_mse_table_init(&j.table, &s, centres, format, scratch);
    if (kind == PQC_MSE_RISING && j.table.n == 0)
        return s.start;
    if (kind == PQC_MSE_SORTED)
        candidates = sort_candidates(&j);
    if (kind < 0 || candidates < 0)
        return PQC_STOPPED;
    if (kind != PQC_MSE_PLAIN) {
        j.chords.candidates = end_of(&j, candidates);
        n = j.chords.candidates > 0 ? narrow_down(&j) : 0;
    } else {
        n = every_candidate(&j, candidates);
    }
    if (n < 0 || !pqc_in_slices(&s, &j.chords.slice, n, j.table.n, 1, full_slice, &j))
        return PQC_STOPPED;
    const pqc_chord *left = j.chords.chords;
    for (ptrdiff_t i = 1; i < n; i++)
        if (left[i].low < left[best].low ||
            (left[i].low == left[best].low && bin_of(&j, left[i].at) < bin_of(&j, left[best].at)))
            best = i;
    return n == 0 ? -1 : bin_of(&j, left[best].at);
}
