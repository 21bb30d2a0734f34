/* Scratch memory of calls: the last block given back is kept, so that a layer called again finds
 * its pages warm. */
#ifndef PQC_WORKSPACE_H
#define PQC_WORKSPACE_H

#include <stddef.h>

/* At least `bytes` bytes, 64-aligned, not initialised; NULL if there is no memory. */
void *pqc_workspace_take(ptrdiff_t bytes);
void pqc_workspace_give(void *memory);

/* The same, never kept: for what lives long. */
void *pqc_workspace_allocate(ptrdiff_t bytes);
void pqc_workspace_free(void *memory);

#endif
