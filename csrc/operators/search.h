/* Which bin of a histogram to cut at: the searches behind entropy, mse and percentile calibration.
 *
 * All three give one answer on every ISA and any number of threads: what may differ in its last
 * bits, the fast estimate of a candidate, only chooses which candidates are computed in full. */
#ifndef PQC_SEARCH_H
#define PQC_SEARCH_H

#include "quant_params/quant_params.h"

/* The candidates are start, start + stride, ...  `stop`, if not NULL, is called every few dozen milliseconds on the
 * calling thread during a long search; if it returns true, the answer is PQC_STOPPED. */
enum { PQC_STOPPED = -2 };
typedef struct {
    const int64_t *counts; /* `bins` counts, none negative */
    ptrdiff_t bins, start, stride;
    bool (*stop)(void *stop_context);
    void *stop_context;
} pqc_search;

bool pqc_search_stopped(const pqc_search *s);

/* entropy: a candidate i in [1, bins] clips at edge i.  p is the histogram's first i bins (bin 0
 * read as bin 1), what lies above added to the last of them; q is the same bins without that, each
 * of `levels` = 2^(num_bits - 1 + is_unsigned) equal groups flattened over its bins that are not
 * empty.  The answer is the candidate with the least sum p log(p / q), the last one of equals,
 * after p and q are divided by their sums; infinite where q is 0 and p is not; candidates without a
 * number (all bins empty) are left out.  The last candidate if none is left, -1 if there is none at
 * all. */
ptrdiff_t pqc_entropy_search(pqc_search s, int num_bits, bool is_unsigned, void *scratch);
size_t pqc_entropy_scratch(pqc_search s); /* in bytes, aligned for double */

/* mse: a candidate i in [0, bins) quantises the centres of all bins with amax = centre i.  The
 * answer is the candidate with the least sum of counts * (quantised - centre)^2, the first one of
 * equals, in double; centres below 0 are no candidates, and if unsigned their errors, which amax does not
 * change, are left out of the sum.  -1 if there is none.  `centres` are
 * floats; format.num_bits == PQC_SEARCH_E4M3 means E4M3. */
enum { PQC_SEARCH_E4M3 = -1 };
ptrdiff_t pqc_mse_search(pqc_search s, const float *centres, pqc_int_format format, void *scratch);
size_t pqc_mse_scratch(pqc_search s);

/* percentile: the first bin where the running sum of counts[i] / total reaches `fraction`; `bins` if rounding keeps
 * it from that; 0 if the histogram is empty. */
ptrdiff_t pqc_percentile_search(const int64_t *counts, ptrdiff_t bins, double fraction);

#endif
