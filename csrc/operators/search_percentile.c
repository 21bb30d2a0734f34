/* Percentile calibration: the first bin where the running share of counts reaches a fraction, in double. */
#include "search.h"

/* Sums the quotients, as NumPy's cumsum(counts / total) does, so that a border case falls into the original's bin. */
ptrdiff_t pqc_percentile_search(const int64_t *counts, ptrdiff_t bins, double fraction)
{
    uint64_t all = 0; /* unsigned, so that it wraps where int64_t must not overflow */
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
