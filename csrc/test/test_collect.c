#include "check.h"
#include "dispatch.h"
#include "histogram.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BINS = 5000 };

static float edges[MAX_BINS + 1];

/* The bin of a magnitude by looking at every edge; bins if it has none. */
static ptrdiff_t place(double v, ptrdiff_t bins)
{
    ptrdiff_t found = bins;
    for (ptrdiff_t k = 0; k < bins; k++)
        if (v >= (double)edges[k] &&
            (v < (double)edges[k + 1] || (k == bins - 1 && v == (double)edges[bins])))
            found = k;
    return found;
}

static void check_counts(pqc_elements elements, const float *x, ptrdiff_t bins, bool skip_zeros)
{
    static int64_t counts[MAX_BINS], wanted[MAX_BINS + 1];
    void *scratch = malloc(pqc_histogram_scratch(bins, 2));
    memset(wanted, 0, sizeof wanted);
    for (ptrdiff_t k = 0; k < bins; k++)
        counts[k] = 3;
    for (ptrdiff_t i = 0; i < elements.n; i++)
        if (x[i] != 0.0f || !skip_zeros)
            wanted[place(fabs((double)x[i]), bins)]++;
    float largest = pqc_histogram(elements, edges, bins, skip_zeros, true, scratch, 2, counts);
    for (ptrdiff_t k = 0; k < bins; k++)
        CHECK(counts[k] == wanted[k] + 3, "bin %td of %td: %d instead of %d; n %td", k, bins,
              (int)counts[k], (int)wanted[k] + 3, elements.n);
    CHECK(same_f32(largest, pqc.amax_f32(x, elements.n)), "largest %a", (double)largest);
    free(scratch);
}

static void check_kinds(const float *x, ptrdiff_t n)
{
    static const ptrdiff_t some_bins[] = {1, 2, 7, 300};
    pqc_elements elements = {
        .data = x, .n = n, .inner = n > 0 ? n : 1, .stride = n, .dtype = PQC_F32};
    for (int s = 0; s < 4; s++) {
        ptrdiff_t bins = some_bins[s];
        for (int kind = 0; kind < 5; kind++) {
            float step = kind == 4 ? 0.25f : 0.013f;
            for (ptrdiff_t k = 0; k <= bins; k++) {
                float at = (float)k;
                edges[k] = kind == 1   ? at * at * 0.01f       /* uneven */
                           : kind == 2 ? 1.0f + at * step      /* not from 0 */
                           : kind == 3 ? (float)(k / 3) * step /* repeated */
                                       : at * step;            /* even; 4: in powers of two */
            }
            if (kind == 4)
                edges[bins] = nextafterf(edges[bins], 0.0f);
            check_counts(elements, x, bins, n % 2);
        }
    }
}

void test_collect(void)
{
    static float x[LARGEST_SIZE];
    static double wide[LARGEST_SIZE];
    buffer in;
    buffer_open(&in);
    for (int s = 0; s < size_count; s++) {
        ptrdiff_t n = sizes[s] < 600 ? sizes[s] : 600;
        float *at_the_end = buffer_place(&in, (size_t)n * sizeof *x, 0);
        fill_f32(x, n, (unsigned)n);
        for (ptrdiff_t i = 0; i < n; i++) /* a third of them edges */
            at_the_end[i] = i % 3 ? x[i] : (float)(random_bits() % 64) * 0.25f;
        check_kinds(at_the_end, n);
        for (ptrdiff_t i = 0; i < n; i++)
            wide[i] = at_the_end[i];
        check_counts(
            (pqc_elements){
                .data = wide, .n = n, .inner = n > 0 ? n : 1, .stride = n, .dtype = PQC_F64},
            at_the_end, 300, false);
    }
    buffer_close(&in);
}

/* Every edge is the least float of its bin. */
void test_histc_edges(void)
{
    static const float highs[] = {1.0f, 0.1f, 3.3333f, 1e-30f, 1e-44f, 4096.0f, 0x1.fffffep127f};
    for (int h = 0; h < 7; h++)
        for (ptrdiff_t bins = 1; bins < 400; bins += 57) {
            pqc_histc_edges(highs[h], bins, edges);
            CHECK(edges[0] == 0.0f && edges[bins] == highs[h], "ends; bins %td", bins);
            for (ptrdiff_t k = 1; k < bins; k++) {
                float below = nextafterf(edges[k], 0.0f);
                CHECK(edges[k] >= edges[k - 1], "edge %td of %td", k, bins);
                if (highs[h] < 1e30f) {
                    CHECK((ptrdiff_t)(edges[k] * (float)bins / highs[h]) >= k, "edge %td of %td", k,
                          bins);
                    CHECK(below == 0.0f || (ptrdiff_t)(below * (float)bins / highs[h]) < k,
                          "below edge %td of %td", k, bins);
                }
            }
        }
}
