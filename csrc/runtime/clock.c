/* Nanoseconds of a monotonic clock: clock_gettime, or QueryPerformanceCounter on Windows. */
#define _POSIX_C_SOURCE 200809L /* for clock_gettime */

#include "clock.h"

#if defined(_WIN32)

#include <windows.h>

int64_t pqc_nanoseconds(void)
{
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    int64_t seconds = ticks.QuadPart / per_second.QuadPart;
    int64_t rest = ticks.QuadPart % per_second.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / per_second.QuadPart;
}

#else

#include <time.h>

int64_t pqc_nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
