#include "search.h"

/* The quotients are summed, as NumPy's cumsum of counts / total does, so that a bin at the border
 * is the original's. */
ptrdiff_t pqc_percentile_search(const int64_t *counts, ptrdiff_t bins, double fraction)
{
    uint64_t all = 0; /* wraps where int64_t may not */
    double sum = 0.0;
    for (ptrdiff_t i = 0; i < bins; i++)
        all += (uint64_t)counts[i];
    if (all == 0)
        return 0;
    double total = (double)(int64_t)all;
    for (ptrdiff_t i = 0; i < bins; i++) {
        sum += (double)counts[i] / total;
        if (sum >= fraction)
            return i;
    }
    return bins;
}
