/* A pool of sleeping workers.  A job is a range cut into parts, neighbouring ones for each thread: call after call a thread
 * finds its parts of the arrays in its own caches.  A thread without parts steals others'.  The caller works too and returns when
 * all parts are done, so that no one waits for a worker that wakes late.  Workers spin for a moment after a job, since layers
 * follow each other closely, then sleep.  Waking them costs the caller 10 us, and they need longer to start: a small job wakes
 * them only if it follows others closely, so that they are awake for the next. */
#define _GNU_SOURCE
#include "parallel.h"

#include "clock.h"
#include "float_mode.h"

#if defined(_WIN32)

int pqc_available_cpus(void)
{
    return 1;
}

int pqc_get_num_threads(void)
{
    return 1;
}

void pqc_set_num_threads(int n)
{
    (void)n;
}

int pqc_set_own_threads(int n)
{
    (void)n;
    return 0;
}

static void run(ptrdiff_t n, ptrdiff_t grain, ptrdiff_t parts, ptrdiff_t worth, bool backwards,
                pqc_range_fn fn, void *context)
{
    (void)grain;
    (void)parts;
    (void)worth;
    (void)backwards;
    if (n > 0)
        fn(context, 0, n);
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* LARGE: grains worth waking workers for.  MANY: jobs in a row that suggest a model rather than a single layer.  Nanoseconds: how
 * long a worker spins, and a shorter gap between jobs, within which it is still spinning. */
enum { LARGE = 16, MANY = 6, SPIN = 70000, SOON = 50000 };
/* SHORT: grains of a part, where a job has enough for more than one a thread. */
enum { PARTS_PER_THREAD = 4, SHORT = 4, PAUSES = 64, PATIENCE = 4000 };

/* A thread's parts: the job's number (32 bits), the end of the parts (16) and which is the next (16).  Whoever takes one off
 * either end owns that part, and a worker that slept through a job can never take a part of it. */
typedef struct {
    _Alignas(64) atomic_ullong ticket;
} hand;

/* One job at a time.  The other fields are written before the tickets, and those before the number.  The plain ones are read
 * only by owners of a part, and the job is not over while there is one; the atomic ones may be read too late, but then the tickets
 * have changed too.  A line takes a quarter of a microsecond from one core to another, or more: what a worker reads is in one with
 * the number that it waits for. */
static struct {
    _Alignas(64) atomic_uint posted; /* number of the newest job */
    pqc_range_fn fn;
    void *context;
    ptrdiff_t n, grain;
    unsigned parts;
    atomic_bool backwards;
    atomic_int count; /* threads that take part: the caller, and workers by their index */
    _Alignas(64) atomic_uint left; /* parts not reported as done */
    hand hands[PQC_MAX_THREADS];
} job;

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER; /* held by the thread whose job runs */
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static atomic_int sleepers; /* workers waiting on `wake` */
static atomic_int threads = 1;
static _Thread_local int own_threads; /* of this caller; 0: `threads` */

/* Guarded by `owner`. */
static int workers;     /* started so far */
static long long ended; /* when the last job was over */
static int missed;      /* small jobs in quick succession that workers slept through */

static inline void pause_cpu(void)
{
#if PQC_X86
    __builtin_ia32_pause();
#elif PQC_ARM
    __asm__ volatile("yield");
#endif
}

/* The next part of a hand, or -1. */
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

/* Where a part begins.  Larger parts come between smaller ones, so that the threads' shares are nearly equal as well. */
static ptrdiff_t first_of(ptrdiff_t part)
{
    ptrdiff_t grains = job.n / job.grain;
    return part == job.parts
               ? job.n
               : (grains / job.parts * part + grains % job.parts * part / job.parts) * job.grain;
}

/* Takes parts of that job while there are any, its own first; `index` is the thread's, 0 the caller's. */
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
    pthread_mutex_lock(&sleep_lock);
    atomic_fetch_add(&sleepers, 1);
    while (atomic_load(&job.posted) == last)
        pthread_cond_wait(&wake, &sleep_lock);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&sleep_lock);
    return atomic_load(&job.posted);
}

static void *worker(void *index)
{
    uint32_t last = atomic_load(&job.posted);
    pqc_set_default_float_mode(); /* not what the thread that started it had */
    for (;;) {
        work_on(last, 1 + (int)(intptr_t)index);
        last = wait_for_job(last);
    }
    return NULL;
}

static void start_workers(int wanted)
{
    sigset_t all, before;
    sigfillset(&all); /* signals belong to the caller's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (workers < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, (void *)(intptr_t)workers) != 0)
            break;
        pthread_detach(thread);
        workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A forked child has none of the workers, perhaps locks that nobody will release, and parts of a job that its new workers
 * must not take for their own. */
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

static void watch_for_fork(void)
{
    pthread_atfork(NULL, NULL, forget_workers);
}

static void post(void)
{
    atomic_fetch_add(&job.posted, 1);
    if (atomic_load(&sleepers) == 0)
        return;
    pthread_mutex_lock(&sleep_lock);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&sleep_lock);
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

/* True if the workers are awake, or should be. */
static bool are_wanted(ptrdiff_t worth, int wanted)
{
    if (worth >= LARGE || (workers >= wanted && atomic_load(&sleepers) == 0)) {
        missed = 0;
        return true;
    }
    missed = pqc_nanoseconds() - ended < SOON ? missed + 1 : 0;
    return missed >= MANY;
}

/* The number of parts, at most `most`, that a job of `worth` grains is cut into. */
static ptrdiff_t parts_of(ptrdiff_t most, ptrdiff_t worth, int count)
{
    ptrdiff_t parts = pqc_clamp(worth / SHORT, count, (ptrdiff_t)count * PARTS_PER_THREAD);
    parts = pqc_min(parts, most);
    if (parts > count) /* as many for each: 5 for two threads would be 3 and 2 */
        parts -= parts % count;
    return parts;
}

/* What is stored before the number is posted need not arrive one after the other. */
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
            sched_yield(); /* the worker has lost its CPU to another thread */
    }
}

/* Parts are multiples of `grain`, as many as `parts` at most; `worth`: how many would be worth it. */
static void run(ptrdiff_t n, ptrdiff_t grain, ptrdiff_t parts, ptrdiff_t worth, bool backwards,
                pqc_range_fn fn, void *context)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int count = pqc_get_num_threads();
    if (n <= 0)
        return;
    if (parts < 2 || count == 1 || pthread_mutex_trylock(&owner) != 0) {
        fn(context, 0, n);
        return;
    }
    pthread_once(&once, watch_for_fork);
    if (are_wanted(worth, count - 1))
        share(n, grain, parts_of(parts, worth, count), count, backwards, fn, context);
    else
        fn(context, 0, n);
    ended = pqc_nanoseconds();
    pthread_mutex_unlock(&owner);
}

int pqc_available_cpus(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (int)count;
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

#endif

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
