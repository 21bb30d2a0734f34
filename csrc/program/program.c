#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "program.h"

#include <time.h>

void pqc_program_link(pqc_program *program)
{
    const pqc_weights *next = NULL;
    for (ptrdiff_t i = program->steps - 1; i >= 0; i--) {
        program->step[i].next = next;
        if (program->step[i].weights)
            next = program->step[i].weights;
    }
}

char *pqc_program_take_arena(pqc_program *program)
{
    for (int i = 0; i < PQC_KEPT_ARENAS; i++) {
        char *arena = atomic_exchange(&program->arena[i], NULL);
        if (arena)
            return arena;
    }
    return NULL;
}

bool pqc_program_keep_arena(pqc_program *program, char *arena)
{
    for (int i = 0; i < PQC_KEPT_ARENAS; i++) {
        char *none = NULL;
        if (atomic_compare_exchange_strong(&program->arena[i], &none, arena))
            return true;
    }
    return false;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

unsigned pqc_program_run(const pqc_program *program, char *const *buffers, int64_t *nanoseconds)
{
    unsigned flags = 0;
    int64_t begin = nanoseconds ? now() : 0;
    for (ptrdiff_t i = 0; i < program->steps && !flags; i++) {
        flags = pqc_step_run(&program->step[i], buffers);
        if (nanoseconds) {
            int64_t end = now();
            nanoseconds[i] = end - begin;
            begin = end;
        }
    }
    return flags;
}
