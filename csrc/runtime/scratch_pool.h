/* Equal pieces of memory that threads take in turn. */
#ifndef PQC_SLOTS_H
#define PQC_SLOTS_H

#include "parallel.h"

#include <stdatomic.h>

typedef struct {
    uint8_t *memory;
    ptrdiff_t count, bytes; /* slots, and bytes of one */
    atomic_flag taken[PQC_MAX_THREADS];
} pqc_slots;

static inline void pqc_slots_init(pqc_slots *s, void *memory, ptrdiff_t count, ptrdiff_t bytes)
{
    s->memory = memory;
    s->count = count;
    s->bytes = bytes;
    for (ptrdiff_t i = 0; i < count; i++)
        atomic_flag_clear(&s->taken[i]);
}

/* Waits until one is free; with a slot for each thread one is. */
static inline ptrdiff_t pqc_slots_take(pqc_slots *s)
{
    ptrdiff_t slot = 0;
    while (atomic_flag_test_and_set(&s->taken[slot]))
        slot = (slot + 1) % s->count;
    return slot;
}

static inline void *pqc_slots_memory(const pqc_slots *s, ptrdiff_t slot)
{
    return s->memory + slot * s->bytes;
}

static inline void pqc_slots_give(pqc_slots *s, ptrdiff_t slot)
{
    atomic_flag_clear(&s->taken[slot]);
}

#endif
