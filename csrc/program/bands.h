/* Consecutive steps over large images, run by bands of rows: what one writes is still in L2 when the next one reads it. */
#ifndef PQC_BANDS_H
#define PQC_BANDS_H

#include "program.h"

/* Sets, for each step, how many steps from it on run together by bands, and how many rows of the first one's output
 * make a band.  Such steps depend on each other by rows only: what one writes no other one reads or writes, except as
 * the image that is its input. */
void pqc_bands_find(pqc_step *step, ptrdiff_t steps);

/* Runs such steps, the first of which is number `number` of the program; returns the flags of pqc_program_run, whose
 * `call` and time of the last question these are. */
unsigned pqc_bands_run(const pqc_step *step, char *const *buffers, ptrdiff_t number,
                       const pqc_program_call *call, int64_t *asked);

#endif
