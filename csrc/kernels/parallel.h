/* The only door to threads: a range of work is split over a small pool. */
#ifndef PQC_PARALLEL_H
#define PQC_PARALLEL_H

#include "pqc.h"

typedef void (*pqc_range_fn)(void *context, ptrdiff_t begin, ptrdiff_t end);

/* Calls fn over disjoint ranges that cover [0, n), each but the last a multiple of `grain` long and
 * none shorter; on this thread and on idle ones of the pool.  n <= grain, one thread set, or a busy
 * pool: one call, here. fn must give the same result however [0, n) is cut.  Safe from several
 * threads at once and after fork. */
void pqc_parallel(ptrdiff_t n, ptrdiff_t grain, pqc_range_fn fn, void *context);

/* Number of threads pqc_parallel may use, 1 to PQC_MAX_THREADS. */
#define PQC_MAX_THREADS 256
int pqc_get_num_threads(void);
void pqc_set_num_threads(int n);

/* The CPUs this process may run on. */
int pqc_available_cpus(void);

#endif
