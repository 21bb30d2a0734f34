/* 64-aligned scratch memory; keeps the last block for the next call. */
#include "workspace.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stdint.h>

enum { HEADER = 64, LARGEST_KEPT = 64 << 20 };

typedef struct {
    void *allocated;
    ptrdiff_t bytes;
} header;

static _Atomic(void *) kept;

static header *header_of(void *memory)
{
    return (header *)(void *)((char *)memory - HEADER);
}

void pqc_workspace_free(void *memory)
{
    if (memory)
        PyMem_RawFree(header_of(memory)->allocated);
}

void *pqc_workspace_allocate(ptrdiff_t bytes)
{
    if (bytes > PTRDIFF_MAX - 2 * HEADER)
        return NULL;
    char *allocated = PyMem_RawMalloc((size_t)bytes + 2 * HEADER);
    if (!allocated)
        return NULL;
    char *memory = (char *)(((uintptr_t)allocated + 2 * HEADER - 1) & ~(uintptr_t)(HEADER - 1));
    *header_of(memory) = (header){allocated, bytes};
    return memory;
}

void *pqc_workspace_take(ptrdiff_t bytes)
{
    void *memory = atomic_exchange(&kept, NULL);
    if (memory && header_of(memory)->bytes >= bytes)
        return memory;
    pqc_workspace_free(memory);
    return pqc_workspace_allocate(bytes);
}

void pqc_workspace_give(void *memory)
{
    if (!memory)
        return;
    if (header_of(memory)->bytes <= LARGEST_KEPT)
        memory = atomic_exchange(&kept, memory);
    pqc_workspace_free(memory);
}
