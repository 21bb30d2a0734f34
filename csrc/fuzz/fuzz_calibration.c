/* Histograms with any edges, and the searches in any histogram. */
#include "search.h"
#include "fuzz.h"
#include "histogram.h"

#include <math.h>

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float count(const float *x, ptrdiff_t n, const float *edges, ptrdiff_t bins, bool partial,
                   int64_t *counts)
{
    void *scratch = malloc(pqc_histogram_scratch(bins, 2));
    memset(counts, 0, (size_t)bins * sizeof *counts);
    float largest =
        pqc_histogram((pqc_elements){.data = x, .n = n, .inner = n, .stride = n, .dtype = PQC_F32},
                      edges, bins, false, partial, scratch, 2, counts);
    free(scratch);
    return largest;
}

static void search(input in, const int64_t *counts, ptrdiff_t bins, const float *centres,
                   ptrdiff_t *found)
{
    pqc_search s = {
        .counts = counts, .bins = bins, .start = pick(&in, 1, 40), .stride = pick(&in, 1, 5)};
    int bits = pick(&in, 2, 32);
    void *scratch = malloc(pqc_entropy_scratch(s));
    found[0] = pqc_entropy_search(s, bits, pick(&in, 0, 1), scratch);
    free(scratch);
    scratch = malloc(pqc_mse_scratch(s));
    found[1] = pqc_mse_search(s, centres, (pqc_int_format){bits, pick(&in, 0, 1), true}, scratch);
    free(scratch);
    found[2] = pqc_percentile_search(counts, bins, (double)take_float(&in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    ptrdiff_t n = pick(&in, 0, 255), bins = pick(&in, 1, 128);
    bool partial = pick(&in, 0, 1), even = pick(&in, 0, 1);
    float high = fabsf(take_float(&in)), width = isfinite(high) && high > 0 ? high : 1.0f;
    float *edges = block(&in, (size_t)(bins + 1) * sizeof *edges);
    float *x = block(&in, (size_t)n * sizeof *x);
    for (ptrdiff_t i = 0; i <= bins; i++) {
        edges[i] = isfinite(edges[i]) ? fabsf(edges[i]) : 1.0f;
        edges[i] = even ? width * ((float)i / (float)bins) : edges[i];
    }
    qsort(edges, (size_t)bins + 1, sizeof *edges, by_value);
    int64_t *want = malloc((size_t)bins * sizeof *want), *got = malloc((size_t)bins * sizeof *got);
    int64_t *any = block(&in, (size_t)bins * sizeof *any);
    for (ptrdiff_t i = 0; i < bins; i++)
        any[i] = (any[i] & INT64_MAX) >> (partial ? 8 : 40); /* below 2^62 in all */
    ptrdiff_t answers[3], others[3];
    pqc_select(0);
    float largest = count(x, n, edges, bins, partial, want);
    search(in, any, bins, edges + 1, answers);
    for (int isa = PQC_SCALAR; next_isa(&isa);) {
        float other = count(x, n, edges, bins, partial, got);
        expect_floats(&other, &largest, 1, "largest of a histogram");
        expect_bytes(got, want, (size_t)bins * sizeof *got, "histogram");
        search(in, any, bins, edges + 1, others);
        expect_bytes(others, answers, sizeof answers, "search");
    }
    free(edges), free(x), free(want), free(got), free(any);
    return 0;
}
