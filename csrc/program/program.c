/* Runs the steps of a compiled program, and keeps arenas for later calls. */
#include "program.h"

#include "bands.h"
#include "clock.h"
#include "dispatch.h"

enum { BETWEEN_QUESTIONS = 30000000 }; /* nanoseconds */

void pqc_program_link(pqc_program *program)
{
    const pqc_weights *next = NULL;
    for (ptrdiff_t i = program->steps - 1; i >= 0; i--) {
        program->step[i].next = next;
        if (program->step[i].weights)
            next = program->step[i].weights;
    }
    pqc_bands_find(program->step, program->steps);
}

/* AMX tiles of a convolution cover whole images, so such steps do not run by bands. */
static bool goes_by_bands(const pqc_step *step)
{
    return step->together > 1 && !pqc.igemm_nhwc;
}

char *pqc_arenas_take(pqc_arenas *arenas)
{
    for (int i = 0; i < PQC_KEPT_ARENAS; i++) {
        char *arena = atomic_exchange(&arenas->arena[i], NULL);
        if (arena)
            return arena;
    }
    return NULL;
}

bool pqc_arenas_keep(pqc_arenas *arenas, char *arena)
{
    for (int i = 0; i < PQC_KEPT_ARENAS; i++) {
        char *none = NULL;
        if (atomic_compare_exchange_strong(&arenas->arena[i], &none, arena))
            return true;
    }
    return false;
}

unsigned pqc_program_asks(const pqc_program_call *call, int64_t now, int64_t *asked)
{
    if (now - *asked <= BETWEEN_QUESTIONS)
        return 0;
    *asked = now;
    return call->stop(call->stop_context) ? PQC_PROGRAM_STOPPED : 0;
}

unsigned pqc_program_run(const pqc_program *program, char *const *buffers,
                         const pqc_program_call *call)
{
    unsigned flags = 0;
    int64_t begin = pqc_nanoseconds(), asked = begin;
    for (ptrdiff_t i = 0, count; i < program->steps && !flags; i += count) {
        const pqc_step *step = &program->step[i];
        bool bands = goes_by_bands(step);
        count = bands ? step->together : 1;
        flags = bands ? pqc_bands_run(step, buffers, i, call, &asked) : pqc_step_run(step, buffers);
        int64_t end = pqc_nanoseconds();
        if (call->nanoseconds && !bands)
            call->nanoseconds[i] = end - begin;
        flags |= pqc_program_asks(call, end, &asked);
        begin = end;
    }
    return flags;
}
