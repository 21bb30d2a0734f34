/* Consecutive steps over large images, run by bands of rows: what one writes is still in L2 when the next one reads it. */
#ifndef PQC_BANDS_H
#define PQC_BANDS_H

#include "step.h"

/* Sets, for each step, how many steps from it on run together by bands, and how many rows of the first one's output
 * make a band.  Such steps depend on each other by rows only: what one writes no other one reads or writes, except as
 * the image that is its input. */
void pqc_bands_find(pqc_step *step, ptrdiff_t steps);

/* Runs such steps; returns the flags of pqc_step_run.  `nanoseconds`, if not NULL, receives the time of each. */
unsigned pqc_bands_run(const pqc_step *step, char *const *buffers, int64_t *nanoseconds);

#endif
