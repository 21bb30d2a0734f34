/* The thread pool: every element exactly once, whatever the cut, from nested calls, several threads
 * and after fork. */
#define _GNU_SOURCE
#include "check.h"
#include "parallel.h"
#include "tests.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifndef _WIN32
#include <sys/wait.h>
#endif

enum { LONGEST = 5000, MUCH = 1000 };

typedef struct {
    unsigned char visits[LONGEST]; /* plain: two threads on one element would be a race */
    ptrdiff_t n, grain, multiple;  /* where ranges begin; tasks: anywhere */
    atomic_int calls, bad_ranges;
    atomic_uint threads_seen[8];
} record;

static atomic_uint thread_numbers;
static _Thread_local unsigned thread_number;

static void visit(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    record *r = context;
    if (thread_number == 0)
        thread_number = atomic_fetch_add(&thread_numbers, 1) + 1;
    if (thread_number < 256)
        atomic_fetch_or(&r->threads_seen[thread_number / 32], 1u << thread_number % 32);
    atomic_fetch_add(&r->calls, 1);
    bool whole = begin == 0 && end == r->n;
    bool fits = 0 <= begin && begin < end && end <= r->n;
    bool cut_well = begin % r->multiple == 0 && end - begin >= r->grain;
    if (!fits || !(whole || cut_well)) {
        atomic_fetch_add(&r->bad_ranges, 1);
        return;
    }
    for (ptrdiff_t i = begin; i < end; i++)
        r->visits[i]++;
}

static void reset(record *r, ptrdiff_t n, ptrdiff_t grain)
{
    memset(r, 0, sizeof *r);
    r->n = n;
    r->grain = r->multiple = grain;
}

static bool each_visited(const record *r, unsigned char times)
{
    for (ptrdiff_t i = 0; i < r->n; i++)
        if (r->visits[i] != times)
            return false;
    return true;
}

static int threads_in(record *r)
{
    int count = 0;
    for (int i = 0; i < 8; i++)
        count += __builtin_popcount(atomic_load(&r->threads_seen[i]));
    return count;
}

static void check_cover(void)
{
    static const int thread_counts[] = {1, 2, 3, 4, 7, 16};
    static const ptrdiff_t lengths[] = {0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 100, 101, 999, LONGEST};
    static const ptrdiff_t grains[] = {1, 2, 3, 8, 10, 64, 1000, 10000};
    static record r;
    for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
        pqc_set_num_threads(thread_counts[t]);
        CHECK(pqc_get_num_threads() == thread_counts[t], "set %d", thread_counts[t]);
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                reset(&r, lengths[l], grains[g]);
                pqc_parallel(lengths[l], grains[g], visit, &r);
                CHECK(each_visited(&r, 1) && r.bad_ranges == 0, "n %td, grain %td, %d threads",
                      lengths[l], grains[g], thread_counts[t]);
                bool one = thread_counts[t] == 1 || lengths[l] < 2 * grains[g];
                CHECK(!one || r.calls == (lengths[l] > 0), "%d calls for n %td, grain %td",
                      (int)r.calls, lengths[l], grains[g]);
                r.multiple = 1;
                pqc_parallel_alternating(lengths[l], lengths[l] * MUCH, grains[g] * MUCH, true,
                                         visit, &r);
                CHECK(each_visited(&r, 2) && r.bad_ranges == 0,
                      "backwards, n %td, grain %td, %d threads", lengths[l], grains[g],
                      thread_counts[t]);
            }
    }
}

/* Which grains begin a range. */
typedef struct {
    atomic_bool begins[LONGEST];
    ptrdiff_t grain;
} cuts;

static void note_cut(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    cuts *c = context;
    (void)end;
    atomic_store(&c->begins[begin / c->grain], true);
}

/* Threads are dealt as many tasks each, though there would be work for an odd number of ranges. */
static void check_halves(void)
{
    static cuts c;
    memset(&c, 0, sizeof c);
    c.grain = 1;
    pqc_set_num_threads(2);
    pqc_parallel_tasks(30, 20 * MUCH, MUCH, note_cut, &c);
    CHECK(c.begins[0] && c.begins[15], "no range begins at 15 of 30 tasks");
}

/* No range is more than a grain longer than another, and neither is what threads are dealt: a quarter each of the ranges
 * of four threads. */
static void check_shares(int threads, ptrdiff_t grains, ptrdiff_t grain)
{
    static cuts c;
    ptrdiff_t at[LONGEST + 1], parts = 0;
    memset(&c, 0, sizeof c);
    c.grain = grain;
    pqc_set_num_threads(threads);
    pqc_parallel(grains * grain + grain - 1, grain, note_cut, &c);
    for (ptrdiff_t i = 0; i < grains; i++)
        if (c.begins[i])
            at[parts++] = i;
    at[parts] = grains;
    for (ptrdiff_t i = 0; i < parts; i++)
        CHECK(llabs(at[i + 1] - at[i] - grains / parts) <= 1, "%td of %td grains", at[i], grains);
    for (int i = 0; i < threads; i++) {
        ptrdiff_t share = at[parts * (i + 1) / threads] - at[parts * i / threads];
        CHECK(llabs(share - grains / threads) <= 1, "thread %d of %d: %td of %td grains", i,
              threads, share, grains);
    }
}

/* Where the caller's ranges begin, in their order. */
typedef struct {
    ptrdiff_t begins[64];
    int count;
    pthread_t caller;
} order;

static void note_begin(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    order *o = context;
    (void)end;
    if (pthread_equal(pthread_self(), o->caller))
        o->begins[o->count++] = begin;
    usleep(200);
}

/* A thread goes over its own ranges in one direction, then over those it takes from others; with two threads the order
 * turns once at most.  Now and then the caller comes too late for any. */
static void check_order(void)
{
    int told[2] = {0, 0};
    pqc_set_num_threads(2);
    for (int repeat = 0; repeat < 2000 && (told[0] < 10 || told[1] < 10); repeat++) {
        bool backwards = repeat % 2;
        order o = {.caller = pthread_self()};
        pqc_parallel_alternating(8, 8 * MUCH, MUCH / 2, backwards, note_begin, &o);
        int turns = 0;
        for (int i = 1; i < o.count; i++)
            turns += (o.begins[i] < o.begins[i - 1]) != backwards;
        CHECK(turns <= 1, "%d turns in %d ranges", turns, o.count);
        told[backwards] += o.count > 2;
    }
    CHECK(told[0] > 0 && told[1] > 0, "the caller has had no ranges");
}

/* Every part takes long enough that all workers wake up; never more of them than asked for, though
 * more may exist. */
static void slowly(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    visit(context, begin, end);
    usleep(500);
}

static void check_thread_limit(void)
{
    static record r;
    for (int threads = 6; threads >= 1; threads--) {
        pqc_set_num_threads(threads);
        for (int repeat = 0; repeat < 10; repeat++) {
            reset(&r, 1000, 10);
            pqc_parallel(r.n, r.grain, slowly, &r);
            CHECK(each_visited(&r, 1), "%d threads", threads);
            CHECK(threads_in(&r) <= threads, "%d threads took part, %d are set", threads_in(&r),
                  threads);
        }
    }
    CHECK(pqc_set_own_threads(5) == 0 && pqc_get_num_threads() == 5, "own threads");
    CHECK(pqc_set_own_threads(0) == 5, "no own threads");
    pqc_set_num_threads(0);
    CHECK(pqc_get_num_threads() == 1, "0 threads");
    pqc_set_num_threads(PQC_MAX_THREADS + 1);
    CHECK(pqc_get_num_threads() == PQC_MAX_THREADS, "too many threads");
    pqc_set_num_threads(2);
    CHECK(pqc_available_cpus() >= 1, "%d CPUs", pqc_available_cpus());
}

/* Sleeping workers wake up for a later job. */
static void check_sleep(void)
{
    static record r;
    pqc_set_num_threads(3);
    int helped = 0;
    for (int i = 0; i < 20; i++) {
        usleep(3000);
        reset(&r, 120, 10);
        pqc_parallel(r.n, r.grain, slowly, &r);
        CHECK(each_visited(&r, 1), "job %d", i);
        helped += threads_in(&r) > 1;
    }
    CHECK(helped > 0, "no worker ever helped");
}

static int ranges_of_little(void)
{
    static record r;
    reset(&r, 12, 1);
    pqc_parallel_tasks(r.n, 12 * MUCH, MUCH, visit, &r);
    CHECK(each_visited(&r, 1), "a small job");
    return r.calls;
}

/* A small job that comes alone wakes nobody; many in a row do. */
static void check_little(void)
{
    int alone = 0, shared = 0;
    pqc_set_num_threads(2);
    for (int i = 0; i < 20; i++) {
        usleep(5000);
        alone += ranges_of_little() == 1;
    }
    for (int i = 0; i < 1000 && shared == 0; i++)
        shared += ranges_of_little() > 1;
    CHECK(alone > 0 && shared > 0, "%d jobs alone, %d shared", alone, shared);
}

typedef struct {
    record inner[32];
} nest;

static void call_again(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    nest *all = context;
    for (ptrdiff_t i = begin; i < end; i++)
        pqc_parallel(all->inner[i].n, all->inner[i].grain, visit, &all->inner[i]);
}

static void check_nested(void)
{
    static nest all;
    pqc_set_num_threads(4);
    for (int repeat = 0; repeat < 20; repeat++) {
        for (int i = 0; i < 32; i++)
            reset(&all.inner[i], 200 + i, 10);
        pqc_parallel(32, 1, call_again, &all);
        for (int i = 0; i < 32; i++)
            CHECK(each_visited(&all.inner[i], 1) && all.inner[i].bad_ranges == 0, "inner job %d",
                  i);
    }
}

static void *many_jobs(void *failed)
{
    record *r = malloc(sizeof *r);
    for (int i = 0; i < 400; i++) {
        reset(r, 1 + i * 7 % LONGEST, 1 + i % 16);
        pqc_parallel(r->n, r->grain, visit, r);
        if (!each_visited(r, 1) || r->bad_ranges != 0)
            atomic_fetch_add((atomic_int *)failed, 1);
        if (i % 50 == 0)
            pqc_set_num_threads(2 + i / 50 % 4);
    }
    free(r);
    return NULL;
}

static void check_callers(void)
{
    enum { CALLERS = 4 };
    pthread_t threads[CALLERS];
    atomic_int failed = 0;
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&threads[i], NULL, many_jobs, &failed);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(failed == 0, "%d jobs of concurrent callers", (int)failed);
}

void test_parallel(void)
{
    int before = pqc_get_num_threads();
    check_cover();
    check_halves();
    for (int threads = 2; threads <= 5; threads++)
        for (ptrdiff_t grains = 2; grains <= 200; grains++)
            check_shares(threads, grains, 1 + grains % 3);
    check_order();
    check_thread_limit();
    check_sleep();
    check_little();
    check_nested();
    check_callers();
    pqc_set_num_threads(before);
}

#ifdef _WIN32
void test_fork(void) /* there is none */
{
}
#else
/* 0 if the pool works in this process, 2 if no worker ever helped. */
static int run_some_jobs(void)
{
    static record r;
    int failed = 0, helped = 0;
    pqc_set_num_threads(3);
    for (int i = 0; i < 50; i++) {
        reset(&r, 1000, 10);
        pqc_parallel(r.n, r.grain, visit, &r);
        failed |= !each_visited(&r, 1);
    }
    for (int i = 0; i < 100 && helped == 0; i++) { /* a busy machine may run the caller alone */
        reset(&r, 120, 10);
        pqc_parallel(r.n, r.grain, slowly, &r);
        failed |= !each_visited(&r, 1);
        helped = threads_in(&r) > 1;
    }
    return failed ? 1 : helped ? 0 : 2;
}

/* The child of a process with a pool has none of its threads; a grandchild neither. */
static void check_fork(void)
{
    CHECK(run_some_jobs() == 0, "before fork");
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20); /* a child that hangs dies */
            int failed = run_some_jobs();
            pid_t grandchild = fork();
            if (grandchild == 0)
                _exit(run_some_jobs());
            int status = 1;
            waitpid(grandchild, &status, 0);
            _exit(failed | (status != 0));
        }
        int status = 1;
        waitpid(child, &status, 0);
        CHECK(status == 0, "child %d ended with %d", i, status);
    }
    CHECK(run_some_jobs() == 0, "after fork");
}

/* fork() while other threads use the pool. */
static void check_fork_while_busy(void)
{
    pthread_t thread;
    atomic_int failed = 0;
    pthread_create(&thread, NULL, many_jobs, &failed);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            _exit(run_some_jobs());
        }
        int status = 1;
        waitpid(child, &status, 0);
        CHECK(status == 0, "child %d ended with %d", i, status);
    }
    pthread_join(thread, NULL);
    CHECK(failed == 0, "%d jobs of the parent", (int)failed);
}

void test_fork(void)
{
    int before = pqc_get_num_threads();
    check_fork();
    check_fork_while_busy();
    pqc_set_num_threads(before);
}

#endif
