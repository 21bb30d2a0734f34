/* Consecutive steps over large images, run by bands of rows: what one writes is still in L2 when the next one reads it. */
#ifndef PQC_BANDS_H
#define PQC_BANDS_H

#include "step.h"

/* Tells each of `steps` steps how many from it on are run by bands together, and of how many rows of the first one's output these
 * are.  They depend on each other only as by rows: what one writes no other one of them reads or writes, unless it is the image
 * that the other one reads. */
void pqc_bands_find(pqc_step *step, ptrdiff_t steps);

/* Runs such steps; returns the flags of pqc_step_run.  `nanoseconds`, if not NULL, gets the time of each. */
unsigned pqc_bands_run(const pqc_step *step, char *const *buffers, int64_t *nanoseconds);

#endif
