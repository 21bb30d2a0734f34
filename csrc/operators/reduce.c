/* Largest magnitudes and minimum of arrays of every float type, over any axes, split over threads by outer dimension. */
#include "reduce.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "dispatch.h"
#include "parallel.h"

enum {
    GRAIN = 32768,             /* elements per grain: 1 us or more */
    SHORT_ROW = PQC_BLOCK / 4, /* shorter rows cost less than a call each */
};

typedef struct {
    const char *x;
    char *amax;
    pqc_dtype dtype;
    const pqc_dimension *dimensions;
    int count;
    int split; /* the dimension that is divided into ranges */
} reduction;

static ptrdiff_t result_size(pqc_dtype dtype)
{
    return dtype == PQC_F64 ? (ptrdiff_t)sizeof(double) : (ptrdiff_t)sizeof(float);
}

static void widen(pqc_dtype dtype, const char *x, float *wide, ptrdiff_t n)
{
    (dtype == PQC_F16 ? pqc.f16_to_f32 : pqc.bf16_to_f32)((const uint16_t *)(const void *)x, wide,
                                                          n);
}

static float amax_run(pqc_dtype dtype, const char *x, ptrdiff_t n)
{
    if (dtype == PQC_F32)
        return pqc.amax_f32((const float *)(const void *)x, n);
    float wide[PQC_BLOCK], best = 0.0f;
    for (ptrdiff_t i = 0, length; i < n; i += length) {
        length = pqc_min(n - i, PQC_BLOCK);
        widen(dtype, x + i * 2, wide, length);
        float now = pqc.amax_f32(wide, length);
        pqc_amax_each_f32_scalar(&now, &best, 1);
    }
    return best;
}

/* A run along a reduced dimension: all elements go into one result. */
static void into_one(const reduction *r, const char *x, char *amax, ptrdiff_t n)
{
    if (r->dtype == PQC_F64) {
        double now = pqc_amax_f64_scalar((const double *)(const void *)x, n);
        pqc_amax_each_f64_scalar(&now, (double *)(void *)amax, 1);
    } else {
        float now = amax_run(r->dtype, x, n);
        pqc_amax_each_f32_scalar(&now, (float *)(void *)amax, 1);
    }
}

/* A run along a kept dimension: each element has its own result. */
static void into_each(const reduction *r, const char *x, char *amax, ptrdiff_t n)
{
    if (r->dtype == PQC_F64) {
        pqc_amax_each_f64_scalar((const double *)(const void *)x, (double *)(void *)amax, n);
    } else if (r->dtype == PQC_F32) {
        pqc.amax_each_f32((const float *)(const void *)x, (float *)(void *)amax, n);
    } else {
        float wide[PQC_BLOCK];
        for (ptrdiff_t i = 0, length; i < n; i += length) {
            length = pqc_min(n - i, PQC_BLOCK);
            widen(r->dtype, x + i * 2, wide, length);
            pqc.amax_each_f32(wide, (float *)(void *)amax + i, length);
        }
    }
}

static void walk(const reduction *r, int level, const char *x, char *amax, ptrdiff_t begin,
                 ptrdiff_t end)
{
    pqc_dimension d = r->dimensions[level];
    ptrdiff_t from = level == r->split ? begin : 0, to = level == r->split ? end : d.length;
    ptrdiff_t x_step = pqc_dtype_size(r->dtype), amax_step = d.kept ? result_size(r->dtype) : 0;
    if (level == r->count - 1) {
        (d.kept ? into_each : into_one)(r, x + from * x_step, amax + from * amax_step, to - from);
        return;
    }
    for (int i = level + 1; i < r->count; i++) {
        x_step *= r->dimensions[i].length;
        amax_step *= r->dimensions[i].kept ? r->dimensions[i].length : 1;
    }
    for (ptrdiff_t i = from; i < to; i++)
        walk(r, level + 1, x + i * x_step, amax + i * amax_step, begin, end);
}

static void walk_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const reduction *r = context;
    walk(r, 0, r->x, r->amax, begin, end);
}

/* A single result: the maxima of the ranges are merged by a lock-free maximum of bit patterns. */
typedef struct {
    const char *x;
    pqc_dtype dtype;
    _Atomic uint32_t amax_f32;
    _Atomic uint64_t amax_f64;
} total;

static void total_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    total *t = context;
    const char *x = t->x + begin * pqc_dtype_size(t->dtype);
    if (t->dtype == PQC_F64) {
        double now = pqc_amax_f64_scalar((const double *)(const void *)x, end - begin);
        uint64_t bits, seen = atomic_load(&t->amax_f64);
        memcpy(&bits, &now, sizeof bits);
        while (seen < bits && !atomic_compare_exchange_weak(&t->amax_f64, &seen, bits))
            ;
    } else {
        float now = amax_run(t->dtype, x, end - begin);
        uint32_t bits, seen = atomic_load(&t->amax_f32);
        memcpy(&bits, &now, sizeof bits);
        while (seen < bits && !atomic_compare_exchange_weak(&t->amax_f32, &seen, bits))
            ;
    }
}

static void reduce_all(const void *x, pqc_dtype dtype, ptrdiff_t n, void *amax)
{
    total t = {.x = x, .dtype = dtype};
    pqc_parallel_tasks(n, n, GRAIN, total_range, &t);
    uint64_t bits_f64 = atomic_load(&t.amax_f64);
    uint32_t bits_f32 = atomic_load(&t.amax_f32);
    if (dtype == PQC_F64)
        memcpy(amax, &bits_f64, sizeof bits_f64);
    else
        memcpy(amax, &bits_f32, sizeof bits_f32);
}

/* Rows of a few elements each: a block of rows is reduced as one run with a maximum per element of the block, and the
 * resulting block, which has x's other dimensions, is then reduced like an x. */
static void reduce_rows(const reduction *r, ptrdiff_t rows, ptrdiff_t row, ptrdiff_t results)
{
    float block[PQC_BLOCK] = {0.0f};
    ptrdiff_t length = PQC_BLOCK / row * row, n = rows * row;
    for (ptrdiff_t i = 0; i < n; i += length)
        into_each(r, r->x + i * pqc_dtype_size(r->dtype), (char *)block, pqc_min(n - i, length));
    reduction last = {(const char *)block, r->amax, PQC_F32, r->dimensions + 1, r->count - 1, -1};
    memset(r->amax, 0, (size_t)results * sizeof(float));
    for (ptrdiff_t i = 0; i < length; i += row)
        walk(&last, 0, (const char *)(block + i), r->amax, 0, 0);
}

void pqc_reduce_amax(const void *x, pqc_dtype dtype, const pqc_dimension *dimensions, int count,
                     void *amax)
{
    if (count == 0 || (count == 1 && !dimensions[0].kept)) {
        reduce_all(x, dtype, count == 0 ? 1 : dimensions[0].length, amax);
        return;
    }
    reduction r = {x, amax, dtype, dimensions, count, dimensions[0].kept ? 0 : 1};
    ptrdiff_t results = 1, elements = 1, length = dimensions[r.split].length;
    for (int i = 0; i < count; i++) {
        results *= dimensions[i].kept ? dimensions[i].length : 1;
        elements *= dimensions[i].length;
    }
    memset(amax, 0, (size_t)(results * result_size(dtype)));
    if (elements == 0)
        return;
    ptrdiff_t row = elements / dimensions[0].length;
    if (!dimensions[0].kept && row <= SHORT_ROW && dtype != PQC_F64) {
        reduce_rows(&r, dimensions[0].length, row, results);
        return;
    }
    pqc_parallel_tasks(length, elements, GRAIN, walk_range, &r);
}

double pqc_reduce_min(const void *x, pqc_dtype dtype, ptrdiff_t n)
{
    if (dtype == PQC_F64)
        return pqc_min_f64_scalar(x, n);
    if (dtype == PQC_F32)
        return pqc.min_f32(x, n);
    float wide[PQC_BLOCK], minima[2] = {INFINITY, 0.0f};
    for (ptrdiff_t i = 0, length; i < n; i += length) {
        length = pqc_min(n - i, PQC_BLOCK);
        widen(dtype, (const char *)x + i * 2, wide, length);
        minima[1] = pqc.min_f32(wide, length);
        minima[0] = pqc_min_f32_scalar(minima, 2);
    }
    return minima[0];
}
