/* A compiled program whose shapes are known: steps over one arena, run by one call. */
#ifndef PQC_PROGRAM_H
#define PQC_PROGRAM_H

#include "steps.h"

#include <stdatomic.h>

enum { PQC_KEPT_ARENAS = 4 };

/* Memory of finished calls, reused by later calls of programs that share it. */
typedef struct {
    atomic_int users;
    _Atomic(char *) arena[PQC_KEPT_ARENAS];
} pqc_arenas;

typedef struct {
    pqc_step *step;
    ptrdiff_t steps, arena_bytes;
} pqc_program;

/* Tells each step whose weights are read after its own, and which steps run together by bands. */
void pqc_program_link(pqc_program *program);

/* Takes a kept arena, of any size; NULL if there is none. */
char *pqc_arenas_take(pqc_arenas *arenas);

/* Keeps an arena; false if there are enough, and the caller frees it. */
bool pqc_arenas_keep(pqc_arenas *arenas, char *arena);

/* Options of a call.  `nanoseconds`, if not NULL, receives the time of each step.  `stop` is called between steps, on
 * the calling thread, every few dozen milliseconds. */
typedef struct {
    int64_t *nanoseconds;
    bool (*stop)(void *stop_context);
    void *stop_context;
} pqc_program_call;

enum { PQC_PROGRAM_STOPPED = 1 << 8 };

/* Asks `stop` if the last time was long ago; returns PQC_PROGRAM_STOPPED or 0. */
unsigned pqc_program_asks(const pqc_program_call *call, int64_t now, int64_t *asked);

/* Runs all steps in order.  buffers[0] is the arena, arena_bytes bytes, 64-aligned.  Stops as soon as a step returns
 * flags of pack_u8.h, which make the results meaningless, and returns them; or returns PQC_PROGRAM_STOPPED. */
unsigned pqc_program_run(const pqc_program *program, char *const *buffers,
                         const pqc_program_call *call);

#endif
