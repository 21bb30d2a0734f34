/* Scratch memory for calls.  The last block given back is kept, so that a layer that is called again finds its pages
 * warm. */
#ifndef PQC_WORKSPACE_H
#define PQC_WORKSPACE_H

#include <stddef.h>

/* At least `bytes` bytes, 64-aligned, not initialised; NULL if there is no memory. */
void *pqc_workspace_take(ptrdiff_t bytes);
void pqc_workspace_give(void *memory);

/* The same, but never kept: for memory with a long life. */
void *pqc_workspace_allocate(ptrdiff_t bytes);
void pqc_workspace_free(void *memory);

#endif
