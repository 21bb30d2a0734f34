/* Minimum of many candidates by halving chords of the curve that their scores lie close to, until few are left to
 * score. */
#include "search_chords.h"
#include "search_ranges.h"

#include <math.h>

enum {
    GRAIN = 8,
    MIN_FIRST = 64,
    MAX_FIRST = 1024,
    FEW = 4,              /* at this width or below, candidates are scored instead of halved; */
    MORE = 32,            /* likewise where halving drops few, */
    FIRST_COST = 1 << 19, /* numbers read for the first scores */
    ASK = 1 << 16,        /* chords between two calls of `stop`: some ms */
};

static ptrdiff_t end_of(const pqc_chords *c, ptrdiff_t at)
{
    return pqc_min(at + c->width, c->candidates - 1);
}

static void curve_low(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    pqc_chords *c = context;
    for (ptrdiff_t i = c->slice + begin; i < c->slice + end; i++)
        c->chords[i].low = c->curve(c->context, c->chords[i].at);
}

static void curve_middle(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    pqc_chords *c = context;
    for (ptrdiff_t i = c->slice + begin; i < c->slice + end; i++) {
        pqc_chord *chord = &c->chords[i];
        ptrdiff_t middle = chord->at + c->width / 2;
        chord->middle = middle < end_of(c, chord->at) ? c->curve(c->context, middle) : INFINITY;
    }
}

static bool in_slices(pqc_chords *c, ptrdiff_t n, pqc_range_fn fn)
{
    return pqc_in_slices(c->search, &c->slice, n, c->cost, GRAIN, fn, c);
}

/* Divides the candidates into chords of equal width, the last candidate being one by itself; returns how many, or -1
 * if stopped. */
static ptrdiff_t begin(pqc_chords *c)
{
    ptrdiff_t first = pqc_clamp(FIRST_COST / (c->cost + 1), MIN_FIRST, MAX_FIRST), n = 0;
    for (c->width = 2; c->candidates / c->width > first;)
        c->width *= 2;
    for (ptrdiff_t at = 0; at < c->candidates - 1; at += c->width)
        c->chords[n++].at = at;
    c->chords[n++].at = c->candidates - 1;
    if (!in_slices(c, n, curve_low))
        return -1;
    for (ptrdiff_t i = 0; i < n; i++)
        c->chords[i].high = c->chords[i + 1 < n ? i + 1 : i].low;
    return n;
}

/* Scores the lowest midpoint, or, at the beginning, the lowest of all points. */
static void try_lowest(pqc_chords *c, ptrdiff_t n, bool beginning)
{
    double lowest = INFINITY, score;
    ptrdiff_t at = -1;
    for (ptrdiff_t i = 0; i < n; i++) {
        double height = beginning ? c->chords[i].low : c->chords[i].middle;
        if (height < lowest) {
            lowest = height;
            at = c->chords[i].at + (beginning ? 0 : c->width / 2);
        }
    }
    if (at < 0)
        return;
    c->scores(c->context, at, 1, &score);
    c->best = fmin(c->best, score);
}

static bool may_be_best(const pqc_chords *c, const pqc_chord *chord)
{
    double limit = c->best + c->slack + c->rate * c->best;
    if (c->width == 1)
        return chord->low <= limit;
    return c->least(c->context, chord->at, chord->low, end_of(c, chord->at), chord->high) <= limit;
}

/* Drops the chords that cannot hold the minimum; returns how many are left, or -1 if stopped. */
static ptrdiff_t keep(pqc_chords *c, ptrdiff_t n)
{
    ptrdiff_t kept = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (i % ASK == 0 && pqc_search_stopped(c->search))
            return -1;
        if (may_be_best(c, &c->chords[i]))
            c->chords[kept++] = c->chords[i];
    }
    return kept;
}

/* Splits every chord in two, from the last to the first, since there is room behind them. */
static ptrdiff_t halve(pqc_chords *c, ptrdiff_t n)
{
    ptrdiff_t halves = n, half = c->width / 2;
    for (ptrdiff_t i = 0; i < n; i++)
        halves += c->chords[i].middle < INFINITY;
    ptrdiff_t to = halves;
    for (ptrdiff_t i = n; i-- > 0;) {
        pqc_chord whole = c->chords[i];
        double high = whole.high;
        if (whole.middle < INFINITY) {
            c->chords[--to] = (pqc_chord){whole.at + half, whole.middle, INFINITY, high};
            high = whole.middle;
        }
        c->chords[--to] = (pqc_chord){whole.at, whole.low, INFINITY, high};
    }
    c->width = half;
    return halves;
}

static void score_run(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    pqc_chords *c = context;
    double found[PQC_CHORD_RUN];
    for (ptrdiff_t i = c->slice + begin, n; i < c->slice + end; i += n) {
        ptrdiff_t at = c->chords[i].at;
        for (n = 1; n < PQC_CHORD_RUN && i + n < c->slice + end && c->chords[i + n].at == at + n;)
            n++;
        c->scores(c->context, at, n, found);
        for (ptrdiff_t k = 0; k < n; k++)
            c->chords[i + k].low = found[k];
    }
}

/* Scores every candidate of n chords; returns how many are left, or -1 if stopped. */
static ptrdiff_t score_all(pqc_chords *c, ptrdiff_t n)
{
    ptrdiff_t all = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        all += pqc_max(end_of(c, c->chords[i].at) - c->chords[i].at, 1);
    for (ptrdiff_t i = n, to = all; i-- > 0;) {
        ptrdiff_t at = c->chords[i].at;
        for (ptrdiff_t k = pqc_max(end_of(c, at) - at, 1); k-- > 0;)
            c->chords[--to].at = at + k;
    }
    c->width = 1;
    if (!in_slices(c, all, score_run))
        return -1;
    for (ptrdiff_t i = 0; i < all; i++)
        c->best = fmin(c->best, c->chords[i].low);
    return all;
}

ptrdiff_t pqc_narrow_chords(pqc_chords *c)
{
    ptrdiff_t n = begin(c), kept = 0;
    c->best = INFINITY;
    for (bool beginning = true; n >= 0; beginning = false) {
        try_lowest(c, n, beginning);
        n = beginning ? n : halve(c, n);
        kept = keep(c, n);
        if (kept < 0 || c->width <= FEW || (c->width <= MORE && kept > n / 4 * 3))
            break;
        n = in_slices(c, kept, curve_middle) ? kept : -1;
    }
    kept = n < 0 || kept < 0 ? -1 : score_all(c, kept);
    return kept < 0 ? -1 : keep(c, kept);
}
