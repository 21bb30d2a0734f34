#include "calib_search.h"

/* The quotients are summed, as NumPy's cumsum of counts / total does, so that a bin at the border
 * is the original's. */
ptrdiff_t pqc_percentile_search(const int64_t *counts, ptrdiff_t bins, double fraction)
{
    int64_t total = 0;
    double sum = 0.0;
    for (ptrdiff_t i = 0; i < bins; i++)
        total += counts[i];
    if (total == 0)
        return 0;
    for (ptrdiff_t i = 0; i < bins; i++) {
        sum += (double)counts[i] / (double)total;
        if (sum >= fraction)
            return i;
    }
    return bins;
}
