/* A pool of sleeping workers.  A job is a range divided into parts; each thread owns neighbouring parts, so that call
 * after call it finds them in its own caches.  A thread that runs out of parts steals from others.  The caller works
 * too and returns when all parts are done, so nobody waits for a worker that wakes late.  Workers spin briefly after
 * a job, because layers follow each other closely, then sleep.  Waking them costs the caller 10 us and they take
 * longer to start, so a small job wakes them only if it follows others closely, for the benefit of the next. */
#define _GNU_SOURCE
#include "parallel.h"

#include "clock.h"
#include "float_mode.h"
#include "os_threads.h"

#include <stdatomic.h>

/* LARGE: grains that are worth waking workers for.  MANY: jobs in quick succession that suggest a model rather than a
 * single layer.  In nanoseconds, SPIN: how long a worker spins; SOON: a shorter gap between jobs, during which it is
 * still spinning. */
enum { LARGE = 16, MANY = 6, SPIN = 70000, SOON = 50000 };
/* BRIEF: grains per part, where a job has enough for several parts per thread. */
enum { PARTS_PER_THREAD = 4, BRIEF = 4, PAUSES = 64, PATIENCE = 4000 };

/* A thread's parts, as one word: the job's number (32 bits), the end of its parts (16) and the next one (16).
 * Whoever advances either end owns the part taken; a worker that slept through a job can never take a part of it. */
typedef struct {
    _Alignas(64) atomic_ullong ticket;
} hand;

/* The job; there is one at a time.  The fields are written before the tickets, and the tickets before the number.
 * Plain fields are read only by threads that own a part, and the job is not over while one is owned.  Atomic fields
 * may be read too late, but by then the tickets have changed.  Moving a cache line between cores takes a quarter of a
 * microsecond or more, so what a worker reads first shares a line with the number that it waits for. */
static struct {
    _Alignas(64) atomic_uint posted; /* number of the newest job */
    pqc_range_fn fn;
    void *context;
    ptrdiff_t n, grain;
    unsigned parts;
    atomic_bool backwards;
    atomic_int count; /* participating threads: the caller, and workers with a lower index */
    _Alignas(64) atomic_uint left; /* parts not yet reported as done */
    hand hands[PQC_MAX_THREADS];
} job;

/* held by the thread whose job is running */
static pqc_lock owner = PQC_LOCK_INIT;
static pqc_lock sleep_lock = PQC_LOCK_INIT;
static pqc_condition wake = PQC_CONDITION_INIT;
static atomic_int sleepers; /* workers waiting on `wake` */
static atomic_int threads = 1;
static PQC_THREAD_LOCAL int own_threads; /* of this thread; 0 means `threads` */

/* Guarded by `owner`. */
static int workers;     /* started so far */
static long long ended; /* when the last job ended */
static int missed;      /* small jobs in quick succession that did not wake the workers */

static inline void pause_cpu(void)
{
#if PQC_X86
    _mm_pause();
#elif PQC_ARM && !defined(_MSC_VER)
    __asm__ volatile("yield");
#endif
}

/* Takes the next part of a hand; -1 if there is none. */
static ptrdiff_t take(hand *h, uint32_t number, bool backwards)
{
    unsigned long long seen = atomic_load(&h->ticket);
    for (;;) {
        uint32_t end = (uint32_t)(seen >> 16) & 0xffff, next = (uint32_t)seen & 0xffff;
        if ((uint32_t)(seen >> 32) != number || next >= end)
            return -1;
        if (atomic_compare_exchange_weak(&h->ticket, &seen,
                                         backwards ? seen - (1 << 16) : seen + 1))
            return backwards ? end - 1 : next;
    }
}

/* The beginning of a part.  Larger parts alternate with smaller ones, so that the threads' shares are nearly equal. */
static ptrdiff_t first_of(ptrdiff_t part)
{
    ptrdiff_t grains = job.n / job.grain;
    return part == job.parts
               ? job.n
               : (grains / job.parts * part + grains % job.parts * part / job.parts) * job.grain;
}

/* Takes parts of that job until there are none, its own first.  `index` is the thread's; the caller's is 0. */
static void work_on(uint32_t number, int index)
{
    int count = atomic_load(&job.count);
    bool backwards = atomic_load(&job.backwards);
    unsigned done = 0;
    for (int i = 0; i < count && index < count; i++) {
        hand *h = &job.hands[(index + i) % count];
        for (ptrdiff_t part; (part = take(h, number, backwards)) >= 0;) {
            job.fn(job.context, first_of(part), first_of(part + 1));
            done++;
        }
    }
    if (done > 0)
        atomic_fetch_sub(&job.left, done);
}

static uint32_t wait_for_job(uint32_t last)
{
    long long end = pqc_nanoseconds() + SPIN;
    do {
        for (int i = 0; i < PAUSES; i++) {
            uint32_t number = atomic_load(&job.posted);
            if (number != last)
                return number;
            pause_cpu();
        }
    } while (pqc_nanoseconds() < end);
    pqc_acquire(&sleep_lock);
    atomic_fetch_add(&sleepers, 1);
    while (atomic_load(&job.posted) == last)
        pqc_wait(&wake, &sleep_lock);
    atomic_fetch_sub(&sleepers, 1);
    pqc_release(&sleep_lock);
    return atomic_load(&job.posted);
}

static pqc_thread_result PQC_THREAD_CALL worker(void *index)
{
    uint32_t last = atomic_load(&job.posted);
    pqc_set_default_float_mode(); /* it inherits that of the thread that started it */
    for (;;) {
        work_on(last, 1 + (int)(intptr_t)index);
        last = wait_for_job(last);
    }
    return 0;
}

static void start_workers(int wanted)
{
    while (workers < wanted && pqc_start_thread(worker, (void *)(intptr_t)workers))
        workers++;
}

#ifdef _WIN32
static void watch_for_fork(void) /* there is none */
{
}
#else
/* In a forked child: there are no workers, locks may be held for ever, and parts of a job must not be taken by new
 * workers. */
static void forget_workers(void)
{
    for (int i = 0; i < PQC_MAX_THREADS; i++)
        atomic_store(&job.hands[i].ticket, 0);
    pthread_mutex_init(&owner, NULL);
    pthread_mutex_init(&sleep_lock, NULL);
    pthread_cond_init(&wake, NULL);
    atomic_store(&sleepers, 0);
    workers = 0;
}

static void forget_in_children(void)
{
    pthread_atfork(NULL, NULL, forget_workers);
}

static void watch_for_fork(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, forget_in_children);
}
#endif

static void post(void)
{
    atomic_fetch_add(&job.posted, 1);
    if (atomic_load(&sleepers) == 0)
        return;
    pqc_acquire(&sleep_lock);
    pqc_wake_all(&wake);
    pqc_release(&sleep_lock);
}

static void deal(uint32_t number, unsigned parts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned begin = parts * i / count, end = parts * (i + 1) / count;
        atomic_store_explicit(&job.hands[i].ticket,
                              (unsigned long long)number << 32 | (unsigned long long)end << 16 |
                                  begin,
                              memory_order_release);
    }
}

/* True if the workers are awake or are worth waking. */
static bool are_wanted(ptrdiff_t worth, int wanted)
{
    if (worth >= LARGE || (workers >= wanted && atomic_load(&sleepers) == 0)) {
        missed = 0;
        return true;
    }
    missed = pqc_nanoseconds() - ended < SOON ? missed + 1 : 0;
    return missed >= MANY;
}

/* How many parts, at most `most`, to divide a job of `worth` grains into. */
static ptrdiff_t parts_of(ptrdiff_t most, ptrdiff_t worth, int count)
{
    ptrdiff_t parts = pqc_clamp(worth / BRIEF, count, (ptrdiff_t)count * PARTS_PER_THREAD);
    parts = pqc_min(parts, most);
    if (parts > count) /* the same number for each thread: 5 parts for two would be 3 and 2 */
        parts -= parts % count;
    return parts;
}

/* Runs a job on the pool.  Nothing before the posted number has to become visible in any order. */
static void share(ptrdiff_t n, ptrdiff_t grain, ptrdiff_t parts, int count, bool backwards,
                  pqc_range_fn fn, void *context)
{
    uint32_t number = atomic_load(&job.posted) + 1;
    start_workers(count - 1);
    job.fn = fn;
    job.context = context;
    job.n = n;
    job.grain = grain;
    job.parts = (unsigned)parts;
    atomic_store_explicit(&job.backwards, backwards, memory_order_release);
    atomic_store_explicit(&job.count, count, memory_order_release);
    atomic_store_explicit(&job.left, (unsigned)parts, memory_order_release);
    deal(number, (unsigned)parts, (unsigned)count);
    post();
    work_on(number, 0);
    for (int i = 0; atomic_load(&job.left) != 0; i++) {
        if (i < PATIENCE)
            pause_cpu();
        else
            pqc_yield(); /* the worker has lost its CPU to another thread */
    }
}

/* Runs a job of at most `parts` parts, multiples of `grain` long, of which `worth` would be worth a thread. */
static void run(ptrdiff_t n, ptrdiff_t grain, ptrdiff_t parts, ptrdiff_t worth, bool backwards,
                pqc_range_fn fn, void *context)
{
    int count = pqc_get_num_threads();
    if (n <= 0)
        return;
    if (parts < 2 || count == 1 || !pqc_try_acquire(&owner)) {
        fn(context, 0, n);
        return;
    }
    watch_for_fork();
    if (are_wanted(worth, count - 1))
        share(n, grain, parts_of(parts, worth, count), count, backwards, fn, context);
    else
        fn(context, 0, n);
    ended = pqc_nanoseconds();
    pqc_release(&owner);
}

int pqc_available_cpus(void)
{
    return pqc_count_cpus();
}

int pqc_get_num_threads(void)
{
    return own_threads ? own_threads : atomic_load(&threads);
}

void pqc_set_num_threads(int n)
{
    atomic_store(&threads, n < 1 ? 1 : n > PQC_MAX_THREADS ? PQC_MAX_THREADS : n);
}

int pqc_set_own_threads(int n)
{
    int before = own_threads;
    own_threads = n < 0 ? 0 : n > PQC_MAX_THREADS ? PQC_MAX_THREADS : n;
    return before;
}

static void run_in_default_mode(ptrdiff_t n, ptrdiff_t grain, ptrdiff_t parts, ptrdiff_t worth,
                                bool backwards, pqc_range_fn fn, void *context)
{
    pqc_float_mode before = pqc_set_default_float_mode();
    run(n, grain, parts, worth, backwards, fn, context);
    pqc_restore_float_mode(before);
}

void pqc_parallel(ptrdiff_t n, ptrdiff_t grain, pqc_range_fn fn, void *context)
{
    run_in_default_mode(n, grain, n / grain, PTRDIFF_MAX, false, fn, context);
}

void pqc_parallel_alternating(ptrdiff_t n, ptrdiff_t cost, ptrdiff_t grain, bool backwards,
                              pqc_range_fn fn, void *context)
{
    run_in_default_mode(n, 1, pqc_min(n, cost / grain), cost / grain, backwards, fn, context);
}

void pqc_parallel_tasks(ptrdiff_t n, ptrdiff_t cost, ptrdiff_t grain, pqc_range_fn fn,
                        void *context)
{
    pqc_parallel_alternating(n, cost, grain, false, fn, context);
}
