/* Equally large blocks of scratch memory that threads acquire and release. */
#ifndef PQC_SCRATCH_POOL_H
#define PQC_SCRATCH_POOL_H

#include "parallel.h"

#include <stdatomic.h>

typedef struct {
    uint8_t *memory;
    ptrdiff_t count, bytes; /* number of blocks, bytes of one */
    atomic_flag taken[PQC_MAX_THREADS];
} pqc_scratch_pool;

static inline void pqc_scratch_pool_init(pqc_scratch_pool *s, void *memory, ptrdiff_t count,
                                         ptrdiff_t bytes)
{
    s->memory = memory;
    s->count = count;
    s->bytes = bytes;
    for (ptrdiff_t i = 0; i < count; i++)
        atomic_flag_clear(&s->taken[i]);
}

/* Acquires a free block and returns its number.  Waits for one, unless there are as many as threads. */
static inline ptrdiff_t pqc_scratch_pool_acquire(pqc_scratch_pool *s)
{
    ptrdiff_t block = 0;
    while (atomic_flag_test_and_set(&s->taken[block]))
        block = (block + 1) % s->count;
    return block;
}

static inline void *pqc_scratch_pool_at(const pqc_scratch_pool *s, ptrdiff_t block)
{
    return s->memory + block * s->bytes;
}

static inline void pqc_scratch_pool_release(pqc_scratch_pool *s, ptrdiff_t block)
{
    atomic_flag_clear(&s->taken[block]);
}

#endif
