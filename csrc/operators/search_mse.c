#include "search.h"

#include "dispatch.h"
#include "parallel.h"

#include <math.h>

enum { GRAIN = 32, E4M3_LEVELS = 127 };

/* Estimates take centres for evenly spaced and products for exact; a centre that is put on the
 * wrong side of a border for that lies on it, where both sides have one error. */
static const double near = 5e-5;

/* The levels q of a quantiser with amax 1: above border `at` the level is higher by `rise` / 2 and
 * its square by `square`. */
typedef struct {
    double at, rise, square;
} step;

/* For centres from j on: how many values they have, and the sum of those. */
typedef struct {
    double count, sum;
} above;

typedef struct {
    pqc_search s;
    const float *centres;
    pqc_int_format format;
    ptrdiff_t candidates, steps; /* steps = 0: no estimates, everything in full */
    double squares;              /* sum of counts * centre^2 */
    double origin, per_width;    /* bin number of c is (c - origin) * per_width */
    step *ladder;
    above *above;
    double *error;
    float *work; /* bins of them */
} job;

static bool is_e4m3(const job *j)
{
    return j->format.num_bits == PQC_SEARCH_E4M3;
}

static ptrdiff_t candidates_of(pqc_search s)
{
    return s.start >= s.bins ? 0 : (s.bins - 1 - s.start) / s.stride + 1;
}

size_t pqc_mse_scratch(pqc_search s)
{
    size_t bins = (size_t)s.bins;
    return (bins + 1) * (sizeof(step) + sizeof(above) + sizeof(float)) +
           ((size_t)candidates_of(s) + E4M3_LEVELS + 2) * sizeof(double) * 4;
}

/* The positive levels of E4M3: 7 subnormals, then 8 a binade, the last being 448. */
static double e4m3_level(ptrdiff_t k)
{
    return k < 8 ? (double)k / 512.0 : ldexp((double)(8 + k % 8), (int)(k / 8) - 10);
}

static double level(const job *j, ptrdiff_t k)
{
    if (is_e4m3(j))
        return e4m3_level(k) / 448.0;
    return (double)k / (ldexp(1.0, j->format.num_bits - 1 + j->format.is_unsigned) - 1.0);
}

static ptrdiff_t steps_of(const job *j)
{
    int bits = j->format.num_bits - 1 + j->format.is_unsigned;
    if (is_e4m3(j))
        return E4M3_LEVELS - 1;
    return bits <= 0 || bits > 30 ? 0 : ((ptrdiff_t)1 << bits) - 1;
}

static bool evenly_spaced(job *j)
{
    ptrdiff_t bins = j->s.bins;
    double first = j->centres[0],
           width = ((double)j->centres[bins - 1] - first) / (double)(bins - 1);
    double off = 0.0;
    if (!(width > 0.0 && first >= 0.0))
        return false;
    j->origin = first;
    j->per_width = 1.0 / width;
    for (ptrdiff_t i = 0; i < bins; i++)
        off = fmax(off, fabs((j->centres[i] - first) * j->per_width - (double)i));
    return off <
           fmin(1e-3 + 1e-6 * (double)bins, 0.4); /* float32 edges are off by some 1e-7 * bins */
}

static void prepare(job *j, double *scratch)
{
    ptrdiff_t bins = j->s.bins, steps = steps_of(j);
    double count = 0.0, sum = 0.0;
    j->error = scratch;
    j->ladder = (step *)(scratch + j->candidates);
    j->above = (above *)(j->ladder + bins + 1 + E4M3_LEVELS);
    j->work = (float *)(j->above + bins + 1);
    j->above[bins] = (above){0.0, 0.0};
    for (ptrdiff_t i = bins; i-- > 0;) {
        double n = (double)j->s.counts[i], c = j->centres[i];
        count += n;
        sum += n * c;
        j->squares += n * c * c;
        j->above[i] = (above){count, sum};
    }
    j->steps = bins > 1 && steps <= bins && evenly_spaced(j) ? steps : 0;
    for (ptrdiff_t k = 0; k < j->steps; k++) {
        double low = level(j, k), high = level(j, k + 1);
        j->ladder[k] = (step){(low + high) / 2, 2 * (high - low), high * high - low * low};
    }
}

typedef struct {
    double sum, count;
} change;

/* What step k changes, if amax is `scale` bins and bin 0 is at `origin`: everything above its border
 * is that much higher. */
static inline void climb(const job *j, ptrdiff_t k, double scale, double origin, change *c)
{
    double place = j->ladder[k].at * scale - origin; /* its whole part: the first centre above */
    const above *a = &j->above[place > 0.0 ? (ptrdiff_t)place : 0];
    c->sum += j->ladder[k].rise * a->sum;
    c->count += j->ladder[k].square * a->count;
}

/* The squared error if everything became 0, changed by what each step up the ladder does.  The last
 * border is below amax, which is a centre: no place is beyond the last bin.  Four sums do not wait
 * for each other. */
static double estimate(const job *j, double amax)
{
    double scale = amax * j->per_width, origin = j->origin * j->per_width - 1.0;
    change c[4] = {{0.0, 0.0}};
    ptrdiff_t k = 0;
    for (; k + 4 <= j->steps; k += 4)
        for (int i = 0; i < 4; i++)
            climb(j, k + i, scale, origin, &c[i]);
    for (; k < j->steps; k++)
        climb(j, k, scale, origin, &c[0]);
    double from_sum = (c[0].sum + c[1].sum) + (c[2].sum + c[3].sum);
    double from_count = (c[0].count + c[1].count) + (c[2].count + c[3].count);
    return j->squares - amax * from_sum + amax * amax * from_count;
}

static float candidate(const job *j, ptrdiff_t n)
{
    return j->centres[j->s.start + n * j->s.stride];
}

static double in_full(const job *j, float amax)
{
    ptrdiff_t bins = j->s.bins;
    double sum = 0.0;
    if (is_e4m3(j))
        pqc.e4m3_f32(j->centres, j->work, bins, pqc_e4m3_init(amax));
    else
        pqc.fake_quant_f32(j->centres, j->work, bins, pqc_int_quant_init(amax, j->format));
    for (ptrdiff_t i = 0; i < bins; i++) {
        double off = (double)j->work[i] - (double)j->centres[i];
        sum += j->s.counts[i] == 0 ? 0.0 : off * off * (double)j->s.counts[i];
    }
    return sum;
}

static void estimate_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    for (ptrdiff_t n = begin; n < end; n++)
        j->error[n] = estimate(j, candidate(j, n));
}

static double least_error(const job *j)
{
    double least = INFINITY;
    for (ptrdiff_t n = 0; n < j->candidates; n++)
        if (candidate(j, n) >= 0.0f && j->error[n] < least)
            least = j->error[n];
    return least;
}

ptrdiff_t pqc_mse_search(pqc_search s, const float *centres, pqc_int_format format, void *scratch)
{
    job j = {.s = s, .centres = centres, .format = format, .candidates = candidates_of(s)};
    ptrdiff_t answer = -1;
    double found = INFINITY, limit = INFINITY;
    if (j.candidates == 0)
        return -1;
    prepare(&j, scratch);
    if (j.steps > 0) {
        pqc_parallel(j.candidates, GRAIN, estimate_range, &j);
        double least = least_error(&j);
        limit = least + near * fabs(least) + 1e-12 * j.squares;
    }
    for (ptrdiff_t n = 0; n < j.candidates; n++) {
        float amax = candidate(&j, n);
        if (!(amax >= 0.0f) || (j.steps > 0 && j.error[n] > limit))
            continue;
        double full = in_full(&j, amax);
        if (answer < 0 || full < found) {
            found = full;
            answer = s.start + n * s.stride;
        }
    }
    return answer;
}
