/* What a pool of threads asks of the operating system: a lock, a condition to wait for, threads that nobody joins, and how many
 * CPUs there are.  POSIX threads, or Windows' own. */
#ifndef PQC_OS_THREADS_H
#define PQC_OS_THREADS_H

#include "pqc.h"

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef SRWLOCK pqc_lock;
typedef CONDITION_VARIABLE pqc_condition;
typedef DWORD pqc_thread_result;
#define PQC_LOCK_INIT SRWLOCK_INIT
#define PQC_CONDITION_INIT CONDITION_VARIABLE_INIT
#define PQC_THREAD_CALL WINAPI

static inline void pqc_acquire(pqc_lock *lock)
{
    AcquireSRWLockExclusive(lock);
}

static inline bool pqc_try_acquire(pqc_lock *lock)
{
    return TryAcquireSRWLockExclusive(lock) != 0;
}

static inline void pqc_release(pqc_lock *lock)
{
    ReleaseSRWLockExclusive(lock);
}

static inline void pqc_wait(pqc_condition *condition, pqc_lock *lock)
{
    SleepConditionVariableSRW(condition, lock, INFINITE, 0);
}

static inline void pqc_wake_all(pqc_condition *condition)
{
    WakeAllConditionVariable(condition);
}

static inline void pqc_yield(void)
{
    SwitchToThread();
}

/* False if there is no thread to be had. */
static inline bool pqc_start_thread(pqc_thread_result(PQC_THREAD_CALL *fn)(void *), void *argument)
{
    HANDLE thread = CreateThread(NULL, 0, fn, argument, 0, NULL);
    return thread != NULL && CloseHandle(thread);
}

/* Of the process's group of processors: at most 64. */
static inline int pqc_count_cpus(void)
{
    DWORD_PTR own = 0, all = 0;
    int count = 0;
    GetProcessAffinityMask(GetCurrentProcess(), &own, &all);
    for (; own != 0; own &= own - 1)
        count++;
    return count < 1 ? 1 : count;
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

typedef pthread_mutex_t pqc_lock;
typedef pthread_cond_t pqc_condition;
typedef void *pqc_thread_result;
#define PQC_LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#define PQC_CONDITION_INIT PTHREAD_COND_INITIALIZER
#define PQC_THREAD_CALL

static inline void pqc_acquire(pqc_lock *lock)
{
    pthread_mutex_lock(lock);
}

static inline bool pqc_try_acquire(pqc_lock *lock)
{
    return pthread_mutex_trylock(lock) == 0;
}

static inline void pqc_release(pqc_lock *lock)
{
    pthread_mutex_unlock(lock);
}

static inline void pqc_wait(pqc_condition *condition, pqc_lock *lock)
{
    pthread_cond_wait(condition, lock);
}

static inline void pqc_wake_all(pqc_condition *condition)
{
    pthread_cond_broadcast(condition);
}

static inline void pqc_yield(void)
{
    sched_yield();
}

/* False if there is no thread to be had.  The thread takes no signals: they belong to the caller's threads. */
static inline bool pqc_start_thread(pqc_thread_result (*fn)(void *), void *argument)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, fn, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        pthread_detach(thread);
    return started;
}

static inline int pqc_count_cpus(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (int)count;
}

#endif

#endif
