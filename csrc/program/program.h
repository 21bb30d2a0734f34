/* A compiled program whose shapes are known: steps over one arena, run by one call. */
#ifndef PQC_PROGRAM_H
#define PQC_PROGRAM_H

#include "steps.h"

#include <stdatomic.h>

enum { PQC_KEPT_ARENAS = 4 };

/* Memory of finished calls, for reuse by later calls of programs that share it. */
typedef struct {
    atomic_int users;
    _Atomic(char *) arena[PQC_KEPT_ARENAS];
} pqc_arenas;

typedef struct {
    pqc_step *step;
    ptrdiff_t steps, arena_bytes;
} pqc_program;

/* Tells each step whose weights are read after its own, and which are run together. */
void pqc_program_link(pqc_program *program);

/* One that is kept, of any size, or NULL. */
char *pqc_arenas_take(pqc_arenas *arenas);

/* False if enough are kept: the caller frees it. */
bool pqc_arenas_keep(pqc_arenas *arenas, char *arena);

/* Options of a call: `nanoseconds`, if not NULL, gets the time of each step.  `stop` is asked between steps, on the calling thread,
 * every few dozen milliseconds. */
typedef struct {
    int64_t *nanoseconds;
    bool (*stop)(void *stop_context);
    void *stop_context;
} pqc_program_call;

enum { PQC_PROGRAM_STOPPED = 1 << 8 };

/* All steps, in order.  buffers[0] is the arena, arena_bytes bytes, 64-aligned.  Returns the flags of pack_u8.h, with which the
 * results are meaningless, as soon as a step has one, or PQC_PROGRAM_STOPPED. */
unsigned pqc_program_run(const pqc_program *program, char *const *buffers,
                         const pqc_program_call *call);

#endif
