/* Sums of S log(S / k) over the groups of a histogram: what entropy calibration estimates a candidate by. */
#ifndef PQC_SEARCH_LOGS_H
#define PQC_SEARCH_LOGS_H

#include "bits.h"
#include "pqc.h"

/* The estimate's inner loop: for each of the n <= PQC_CANDIDATES candidates i = first, first + stride, ... the sum over its
 * groups of  S log(S / k),  S the counts of the group, k its bins not empty.  Neighbours touch a new cache line in
 * every group, more streams than the hardware prefetches: the lines of the next eight candidates are prefetched here. */
enum { PQC_LOG_TABLE = 16, PQC_CANDIDATES = 8 };
typedef struct {
    const double *sums;   /* bins + 1 + PQC_CANDIDATES numbers: the counts of all bins before */
    const double *filled; /* likewise, the number of filled bins before */
    const double *logs;   /* log k; 0 for k = 0 */
    int shift;            /* levels = 1 << shift */
    ptrdiff_t used;       /* from this bin on all bins are empty */
    double inverse[PQC_LOG_TABLE], log_inverse[PQC_LOG_TABLE]; /* see pqc_log */
} pqc_groups;
typedef void pqc_search_logs_fn(const pqc_groups *g, ptrdiff_t first, ptrdiff_t stride, int n,
                                double *sums);

pqc_search_logs_fn pqc_search_logs_scalar, pqc_search_logs_avx2, pqc_search_logs_avx512;

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
