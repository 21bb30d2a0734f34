/* Which bin of a histogram to cut at: the searches behind entropy, mse and percentile calibration.
 *
 * All three give one answer on every ISA and any number of threads: what may differ in its last
 * bits, the fast estimate of a candidate, only chooses which candidates are computed in full. */
#ifndef PQC_CALIB_SEARCH_H
#define PQC_CALIB_SEARCH_H

#include "bits.h"
#include "quant_params.h"

/* The candidates: start, start + stride, ... */
typedef struct {
    const int64_t *counts; /* bins of them, none negative */
    ptrdiff_t bins, start, stride;
} pqc_search;

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
 * equals, in double; centres below 0 are no candidates.  -1 if there is none.  `centres` are
 * floats; format.num_bits == PQC_SEARCH_E4M3 means E4M3. */
enum { PQC_SEARCH_E4M3 = -1 };
ptrdiff_t pqc_mse_search(pqc_search s, const float *centres, pqc_int_format format, void *scratch);
size_t pqc_mse_scratch(pqc_search s);

/* percentile: the first bin up to which the running sum of counts[i] / total reaches `fraction`;
 * bins if rounding never lets it; 0 if the histogram is empty. */
ptrdiff_t pqc_percentile_search(const int64_t *counts, ptrdiff_t bins, double fraction);

/* The estimate's inner loop: for each of the n <= PQC_CANDIDATES candidates i = first, first +
 * stride,
 * ... the sum over its groups of  S log(S / k),  S the counts of the group, k its bins not empty.
 */
enum { PQC_LOG_TABLE = 16, PQC_CANDIDATES = 8 };
typedef struct {
    const double *sums;   /* bins + 1 + PQC_CANDIDATES: the counts of all bins before */
    const double *filled; /* the same of bins that are not empty */
    const double *logs;   /* log k, 0 for k = 0 */
    int shift;            /* levels = 1 << shift */
    double inverse[PQC_LOG_TABLE], log_inverse[PQC_LOG_TABLE]; /* see pqc_log */
} pqc_groups;
typedef void pqc_group_logs_fn(const pqc_groups *g, ptrdiff_t first, ptrdiff_t stride, int n,
                               double *sums);

pqc_group_logs_fn pqc_group_logs_scalar, pqc_group_logs_avx2, pqc_group_logs_avx512;

/* log x of a normal x > 0, to 1e-14: x = 2^e m, m in [1, 2); the upper four bits of m choose c near
 * 1 / m, r = m c - 1 is at most 1/32, log x = e log 2 - log c + r - r^2/2 + ... */
static inline double pqc_log(double x, const pqc_groups *g)
{
    uint64_t bits = pqc_bits_of_f64(x);
    double e = (double)((int)(bits >> 52) - 1023);
    double m = pqc_double_of((bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1023 << 52);
    size_t piece = (size_t)(bits >> 48) & (PQC_LOG_TABLE - 1);
    double r = m * g->inverse[piece] - 1.0, r2 = r * r, r4 = r2 * r2;
    double low = (1.0 - r * (1.0 / 2)) + r2 * (1.0 / 3 - r * (1.0 / 4));
    double high = (1.0 / 5 - r * (1.0 / 6)) + r2 * (1.0 / 7 - r * (1.0 / 8)) + r4 * (1.0 / 9);
    return e * 0x1.62e42fefa39efp-1 - g->log_inverse[piece] + r * (low + r4 * high);
}

#endif
