/* The entropy search's estimate. */
#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

enum { MAX_BINS = 300, USED = 211 };

static double expect_group_logs(const int64_t *counts, ptrdiff_t candidate, int64_t levels)
{
    double sum = 0.0;
    ptrdiff_t begin = 0;
    for (int64_t group = 1; group <= levels; group++) {
        ptrdiff_t end = (ptrdiff_t)ceil((double)group * (double)candidate / (double)levels);
        double count = 0.0, filled = 0.0;
        for (; begin < end; begin++) {
            count += (double)counts[begin];
            filled += counts[begin] != 0;
        }
        sum += count > 0.0 ? count * log(count / filled) : 0.0;
    }
    return sum;
}

void test_search_logs(void)
{
    static double sums[MAX_BINS + 1 + PQC_CANDIDATES], filled[MAX_BINS + 1 + PQC_CANDIDATES];
    static double logs[MAX_BINS + 1 + PQC_CANDIDATES];
    int64_t counts[MAX_BINS];
    pqc_groups g = {.sums = sums, .filled = filled, .logs = logs, .used = USED};
    for (int i = 0; i < PQC_LOG_TABLE; i++) {
        g.inverse[i] = 1.0 / (1.0 + (i + 0.5) / PQC_LOG_TABLE);
        g.log_inverse[i] = log(g.inverse[i]);
    }
    for (int i = 0; i < MAX_BINS; i++)
        counts[i] = i < USED && random_bits() % 3 ? random_bits() >> random_bits() % 32 : 0;
    for (int i = 0; i < MAX_BINS + PQC_CANDIDATES; i++) {
        sums[i + 1] = sums[i] + (i < MAX_BINS ? (double)counts[i] : 0.0);
        filled[i + 1] = filled[i] + (i < MAX_BINS && counts[i] != 0);
        logs[i + 1] = log(i + 1);
    }
    for (g.shift = 1; g.shift <= 8; g.shift++)
        for (ptrdiff_t first = 1; first < MAX_BINS - 40; first += 13)
            for (ptrdiff_t stride = 1; stride <= 5; stride += 2)
                for (int n = 1; n <= PQC_CANDIDATES; n++) {
                    double got[PQC_CANDIDATES + 1];
                    got[n] = -77.0;
                    pqc.search_logs(&g, first, stride, n, got);
                    for (int k = 0; k < n; k++) {
                        double want =
                            expect_group_logs(counts, first + k * stride, (int64_t)1 << g.shift);
                        double count =
                            sums[first + k * stride]; /* by a log that is right to 1e-14 */
                        CHECK(fabs(got[k] - want) <= 1e-12 * fabs(want) + 1e-14 * count,
                              "candidate %td, %d levels: %a, not %a", first + k * stride,
                              1 << g.shift, got[k], want);
                    }
                    CHECK(got[n] == -77.0, "wrote past %d candidates", n);
                }
}
