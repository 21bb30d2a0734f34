/* Magnitude histograms: each thread counts into its own 32-bit counters, which are added to the int64 results. */
#include "histogram.h"

#include "bits.h"
#include "dispatch.h"
#include "parallel.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum {
    BLOCK = 512,     /* a block fits into L1 together with its bins and counters */
    GRAIN = 1 << 15, /* elements per grain */
    ROUND = 1 << 30, /* elements after which the 32-bit counters are emptied */
    ASK = 1 << 24,   /* elements between two calls of `stop` */
    SPARE = 16,      /* bin numbers reserved for "no bin" */
};

/* One thread's counters.  Bin k alternates between [2k] and [2k + 1], so that equal neighbours need not wait for each
 * other's store. */
typedef struct {
    atomic_flag taken;
    bool used;
    uint32_t *pairs;
    pqc_binned seen;
} slot;

typedef struct {
    pqc_elements x;
    ptrdiff_t begin; /* of the elements being counted */
    pqc_binning binning;
    const int32_t *cells; /* see bin_any; NULL if the vector kernels can be used */
    slot *slots;
    int count;
    /* totals of earlier rounds, if there are several: a value that is too large may only appear in a later one */
    int64_t *sums;
} job;

static size_t pairs_size(ptrdiff_t bins)
{
    return ((size_t)bins + SPARE) * 2 * sizeof(uint32_t);
}

static size_t aligned(size_t size)
{
    return (size + 63) / 64 * 64;
}

size_t pqc_histogram_scratch(ptrdiff_t bins, int slots)
{
    size_t each = aligned(sizeof(slot)) + aligned(pairs_size(bins));
    return (size_t)slots * each + aligned(((size_t)bins + 1) * sizeof(int32_t)) +
           (size_t)bins * sizeof(int64_t) + 64;
}

/* A run of elements from `at` as float32, converted into `buffer` unless they are floats already.  Sets *n to its
 * length, at most the old *n; a run does not leave its row. */
static const float *floats(pqc_elements x, ptrdiff_t at, ptrdiff_t *n, float *buffer)
{
    ptrdiff_t row = at / x.inner, left = (row + 1) * x.inner - at;
    at = row * x.stride + at - row * x.inner;
    *n = *n < left ? *n : left;
    switch (x.dtype) {
    case PQC_F32:
        return (const float *)x.data + at;
    case PQC_F16:
        pqc.f16_to_f32((const uint16_t *)x.data + at, buffer, *n);
        return buffer;
    case PQC_BF16:
        pqc.bf16_to_f32((const uint16_t *)x.data + at, buffer, *n);
        return buffer;
    case PQC_F64:
        break;
    }
    for (ptrdiff_t i = 0; i < *n; i++)
        buffer[i] = (float)((const double *)x.data)[at + i];
    return buffer;
}

/* Edges from 0 in steps of a power of two, the last bin open: then nothing is rounded. */
static bool exact(pqc_binning *b)
{
    int exponent;
    float width = b->edges[1];
    if (b->lo != 0.0f || !(width > 0.0f) || frexpf(width, &exponent) != 0.5f)
        return false;
    for (ptrdiff_t i = 0; i < b->bins; i++)
        if (b->edges[i] != (float)i * width)
            return false;
    b->inv = 1.0f / width;
    b->margin = PQC_BIN_EXACT;
    return b->edges[b->bins] < (float)b->bins * width;
}

/* t has a relative error of at most 2^-22, from three roundings; the rest is measured. */
static pqc_binning binning_of(const float *edges, ptrdiff_t bins)
{
    double lo = edges[0], hi = edges[bins];
    pqc_binning b = {.edges = edges, .bins = bins, .lo = edges[0]};
    if (bins > 1 && exact(&b))
        return b;
    b.inv = (float)((double)bins / (hi - lo));
    double offs[4] = {0}; /* four running maxima, which do not wait for each other */
    for (ptrdiff_t i = 0; i <= bins; i++) {
        double distance = fabs((edges[i] - lo) * b.inv - (double)i);
        offs[i & 3] = distance > offs[i & 3] ? distance : offs[i & 3];
    }
    double off = fmax(fmax(offs[0], offs[1]), fmax(offs[2], offs[3]));
    off += (double)bins * 0x1p-22 + 0x1p-24;
    b.margin = isfinite(b.inv) && off < 1.0 ? (float)off : 1.0f;
    return b;
}

/* cells[c]: a bin near t = c, from which bin_any searches. */
static void fill_cells(const pqc_binning *b, int32_t *cells)
{
    double lo = b->edges[0], width = ((double)b->edges[b->bins] - lo) / (double)b->bins;
    ptrdiff_t k = 0;
    for (ptrdiff_t c = 0; c <= b->bins; c++) {
        while (k + 1 < b->bins && (double)b->edges[k + 1] <= lo + width * (double)c)
            k++;
        cells[c] = (int32_t)k;
    }
}

static uint32_t bin_any(float v, const pqc_binning *b, const int32_t *cells)
{
    float hi = b->edges[b->bins];
    if (!(v >= b->lo && v <= hi))
        return (uint32_t)b->bins;
    double t = hi > b->lo ? ((double)v - b->lo) / ((double)hi - b->lo) * (double)b->bins : 0.0;
    ptrdiff_t k = cells[(ptrdiff_t)t];
    while (k > 0 && v < b->edges[k])
        k--;
    while (k + 1 < b->bins && v >= b->edges[k + 1])
        k++;
    return (uint32_t)k;
}

static ptrdiff_t bin_block(const job *j, const float *x, ptrdiff_t n, uint32_t *bin,
                           pqc_binned *seen)
{
    if (!j->cells)
        return pqc.bin_f32(x, n, &j->binning, bin, seen);
    ptrdiff_t written = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t bits = pqc_bits_of(x[i]) & INT32_MAX;
        seen->largest = bits > seen->largest ? bits : seen->largest;
        if (bits != 0)
            bin[written++] = bin_any(pqc_float_of(bits), &j->binning, j->cells);
    }
    seen->zeros += (uint64_t)(n - written);
    return written;
}

static void count(const uint32_t *bin, ptrdiff_t n, uint32_t *restrict pairs)
{
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        pairs[2 * (size_t)bin[i]]++;
        pairs[2 * (size_t)bin[i + 1] + 1]++;
        pairs[2 * (size_t)bin[i + 2]]++;
        pairs[2 * (size_t)bin[i + 3] + 1]++;
    }
    for (; i < n; i++)
        pairs[2 * (size_t)bin[i]]++;
}

/* There are as many slots as threads, so one is free or about to be. */
static slot *take(job *j)
{
    for (int i = 0;; i = (i + 1) % j->count)
        if (!atomic_flag_test_and_set_explicit(&j->slots[i].taken, memory_order_acquire))
            return &j->slots[i];
}

static void count_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    job *j = context;
    slot *s = take(j);
    begin += j->begin;
    end += j->begin;
    float buffer[BLOCK];
    uint32_t bin[BLOCK + SPARE];
    if (!s->used)
        memset(s->pairs, 0, pairs_size(j->binning.bins));
    s->used = true;
    for (ptrdiff_t i = begin, n; i < end; i += n) {
        n = end - i < BLOCK ? end - i : BLOCK;
        const float *x = floats(j->x, i, &n, buffer);
        count(bin, bin_block(j, x, n, bin, &s->seen), s->pairs);
    }
    atomic_flag_clear_explicit(&s->taken, memory_order_release);
}

static void add_slots(job *j, int64_t *counts)
{
    for (int i = 0; i < j->count; i++) {
        const uint32_t *pairs = j->slots[i].pairs;
        if (j->slots[i].used)
            for (ptrdiff_t k = 0; k < j->binning.bins; k++)
                counts[k] += (int64_t)pairs[2 * k] + pairs[2 * k + 1];
        j->slots[i].used = false;
    }
}

static void lay_out(job *j, char *scratch, bool cells)
{
    scratch = (char *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    j->slots = (slot *)scratch;
    scratch += (size_t)j->count * aligned(sizeof(slot));
    for (int i = 0; i < j->count; i++) {
        j->slots[i] = (slot){.taken = ATOMIC_FLAG_INIT, .pairs = (uint32_t *)scratch};
        scratch += aligned(pairs_size(j->binning.bins));
    }
    j->cells = NULL;
    if (cells) {
        fill_cells(&j->binning, (int32_t *)scratch);
        j->cells = (int32_t *)scratch;
    }
    scratch += aligned(((size_t)j->binning.bins + 1) * sizeof(int32_t));
    j->sums = (int64_t *)scratch;
}

/* The bin that zeros belong to. */
static ptrdiff_t bin_of_zero(const job *j)
{
    const float *edges = j->binning.edges;
    ptrdiff_t bins = j->binning.bins, k = 0;
    if (edges[0] > 0.0f || edges[bins] < 0.0f)
        return bins;
    while (k + 1 < bins && edges[k + 1] <= 0.0f)
        k++;
    return k;
}

static float largest_of(const job *j)
{
    uint32_t largest = 0;
    for (int i = 0; i < j->count; i++)
        largest = j->slots[i].seen.largest > largest ? j->slots[i].seen.largest : largest;
    return pqc_float_of(largest);
}

static bool stopped(const pqc_elements *x)
{
    return x->stop && x->stop(x->stop_context);
}

/* Counts every round into the slots, and adds all rounds but the last to the sums.  False if stopped. */
static bool count_all(job *j)
{
    ptrdiff_t n = j->x.n, bins = j->binning.bins;
    if (n > ROUND)
        memset(j->sums, 0, (size_t)bins * sizeof(int64_t));
    for (j->begin = 0; j->begin < n; j->begin += ASK) {
        if (j->begin > 0 && stopped(&j->x))
            return false;
        if (j->begin > 0 && j->begin % ROUND == 0)
            add_slots(j, j->sums);
        pqc_parallel(pqc_min(n - j->begin, ASK), GRAIN, count_range, j);
    }
    return true;
}

float pqc_histogram(pqc_elements x, const float *edges, ptrdiff_t bins, bool skip_zeros,
                    bool partial, void *scratch, int slots, int64_t *counts)
{
    job j = {.x = x, .binning = binning_of(edges, bins), .count = slots};
    uint64_t zeros = 0;
    lay_out(&j, scratch, !(j.binning.margin < PQC_BIN_MARGIN));
    if (!count_all(&j))
        return PQC_COUNTING_STOPPED;
    if (!partial && !(largest_of(&j) <= edges[bins]))
        return largest_of(&j);
    add_slots(&j, counts);
    for (ptrdiff_t k = 0; x.n > ROUND && k < bins; k++)
        counts[k] += j.sums[k];
    for (int i = 0; i < slots; i++)
        zeros += j.slots[i].seen.zeros;
    ptrdiff_t zero = bin_of_zero(&j);
    if (!skip_zeros && zero < bins)
        counts[zero] += (int64_t)zeros;
    return largest_of(&j);
}

pqc_magnitudes pqc_magnitudes_of(pqc_elements x)
{
    pqc_magnitudes m = {.smallest = INFINITY, .largest = 0.0f};
    float buffer[PQC_BLOCK];
    ptrdiff_t step = x.dtype == PQC_F32 ? ASK : PQC_BLOCK, ask = ASK;
    for (ptrdiff_t at = 0, n; at < x.n; at += n) {
        if (at >= ask && stopped(&x)) {
            m.largest = PQC_COUNTING_STOPPED;
            return m;
        }
        ask = at >= ask ? at + ASK : ask;
        n = x.n - at < step ? x.n - at : step;
        const float *part = floats(x, at, &n, buffer);
        pqc.magnitudes_f32(part, n, &m);
    }
    return m;
}

static ptrdiff_t histc_bin(float x, float hi, float bins)
{
    float scaled = x * bins;
    return (ptrdiff_t)(scaled / hi);
}

/* The quotient grows with x, so the smallest x of a bin is within a few floats of i * hi / bins.  (An x whose x *
 * bins overflows has no bin in the original.) */
void pqc_histc_edges(float hi, ptrdiff_t bins, float *edges)
{
    double width = (double)hi / (double)bins;
    bool overflows = isinf(hi * (float)bins);
    edges[0] = 0.0f;
    edges[bins] = hi;
    for (ptrdiff_t i = 1; i < bins; i++) {
        float x = (float)(width * (double)i);
        if (!overflows) {
            while (x < hi && histc_bin(x, hi, (float)bins) < i)
                x = nextafterf(x, INFINITY);
            while (x > 0.0f && histc_bin(nextafterf(x, 0.0f), hi, (float)bins) >= i)
                x = nextafterf(x, 0.0f);
        }
        edges[i] = x;
    }
}
