/* The only interface to threads: a range of work is split over a small pool. */
#ifndef PQC_PARALLEL_H
#define PQC_PARALLEL_H

#include "pqc.h"

typedef void (*pqc_range_fn)(void *context, ptrdiff_t begin, ptrdiff_t end);

/* Calls fn over disjoint ranges that cover [0, n), on this thread and on idle ones of the pool.  Each range begins at
 * a multiple of `grain` (>= 1) and is at least that long.  There is a single call, on this thread, if n < 2 * grain,
 * one thread is configured, or the pool is busy (as it is within fn).  fn must give the same result however [0, n) is
 * divided; it runs in the default floating-point mode on every thread.  Safe from several threads at once and after
 * fork. */
void pqc_parallel(ptrdiff_t n, ptrdiff_t grain, pqc_range_fn fn, void *context);

/* The same for n tasks that cost `cost` in total, where `grain` is a cost of a few microseconds: a range costs at
 * least about that.  If the whole is small and the workers are asleep, there is a single call, on this thread. */
void pqc_parallel_tasks(ptrdiff_t n, ptrdiff_t cost, ptrdiff_t grain, pqc_range_fn fn,
                        void *context);

/* The same.  If `backwards`, each thread takes its ranges from the last to the first.  Alternate the direction on
 * each pass over the same data, also within the ranges, so that the most recently used data is still cached. */
void pqc_parallel_alternating(ptrdiff_t n, ptrdiff_t cost, ptrdiff_t grain, bool backwards,
                              pqc_range_fn fn, void *context);

/* Element number i - begin of [begin, end) in that direction, for i from begin to end - 1. */
static inline ptrdiff_t pqc_nth_of_range(ptrdiff_t begin, ptrdiff_t end, bool backwards,
                                         ptrdiff_t i)
{
    return backwards ? end - 1 - (i - begin) : i;
}

/* Number of threads pqc_parallel may use, 1 to PQC_MAX_THREADS. */
#define PQC_MAX_THREADS 256
int pqc_get_num_threads(void);
void pqc_set_num_threads(int n);

/* The same for jobs of the calling thread alone; 0 restores the default.  Returns the previous number. */
int pqc_set_own_threads(int n);

/* The CPUs this process may run on. */
int pqc_available_cpus(void);

#endif
